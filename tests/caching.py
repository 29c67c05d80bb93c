"""What the tests of SemanticCache ask, and the embedder that counts what it is asked."""

from __future__ import annotations

from collections.abc import Callable

from semroute import Answer, SemanticCache, Usage
from semroute.testing.embedders import HashEmbedder

MakeCache = Callable[..., SemanticCache]
QUESTION = "How do I reset my password?"
SAME_IN_OTHER_WORDS = "how do i reset my password"
"""Another exact key; for the embedder of these tests the very same vector."""
ANSWER = Answer("Click on 'forgot'.", model="m", usage=Usage(100, 50), latency_s=2.0)


class CountingEmbedder(HashEmbedder):
    """Counts the texts that it embeds."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def embed(self, texts):
        self.texts.extend(texts)
        return super().embed(texts)
