"""A small handbook, an index of it, and a model that counts its calls and reads its answers off the context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.llms.types import CompletionResponse, CompletionResponseGen, LLMMetadata
from llama_index.core.llms import CustomLLM
from llama_index_semroute.embeddings import SemrouteEmbedding
from pydantic import PrivateAttr

from semroute.embedders import Embedder
from semroute.testing.embedders import HashEmbedder

PAGES = {
    "parking": "Visitors park on deck two. The barrier opens with the code on the invitation.",
    "kitchen": "The kitchen on the third floor has a dishwasher. It is emptied every evening.",
    "badges": "A lost badge is blocked by calling reception. A new badge costs nine euros.",
    "travel": "Trains are booked in second class. Flights need the approval of a director.",
}
QUESTION = "How do I block a lost badge?"
SAME_IN_OTHER_WORDS = "how do i block a lost badge"
"""Another exact key; for the embedder of these tests the very same vector."""


class ReadingLLM(CustomLLM):
    """Answers with the first line of the context that it is given; every call is counted."""

    name: str = "reading-1"
    temperature: float = 0.0
    _prompts: list[str] = PrivateAttr(default_factory=list)

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name=self.name)

    @property
    def calls(self) -> int:
        return len(self._prompts)

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        self._prompts.append(prompt)
        pages = [page for page in PAGES.values() if page in prompt]
        # The page that stands first in the prompt is the nearest.
        nearest = min(pages, key=prompt.index, default="I have read nothing about that.")
        return CompletionResponse(text=f"{nearest} ({self.name})")

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        text = self.complete(prompt, formatted, **kwargs).text
        words = text.split(" ")

        def pieces() -> CompletionResponseGen:
            said = ""
            for number, word in enumerate(words):
                delta = word if number == 0 else f" {word}"
                said += delta
                yield CompletionResponse(text=said, delta=delta)

        return pieces()


class CountedEmbedder(HashEmbedder):
    """Counts the texts that it embeds."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> Any:
        self.texts.extend(texts)
        return super().embed(texts)


def index_of(pages: dict[str, str] | None = None, *, embedder: Embedder | None = None, **metadata: str) -> Any:
    """Return an index with one document a page, whose id is the page's name."""
    documents = [
        Document(text=text, doc_id=name, metadata={"page": name, **metadata})
        for name, text in (PAGES if pages is None else pages).items()
    ]
    embedding = SemrouteEmbedding(HashEmbedder() if embedder is None else embedder)
    return VectorStoreIndex.from_documents(documents, embed_model=embedding)
