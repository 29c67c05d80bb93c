"""Our own caches as a worker whose lookups are timed; run by `evals.peers_latency`.

    .venv/bin/python evals/peers/timed_ours.py redis://127.0.0.1:6379 text messages

Each cache has a shard of its own on the one server, so that each searches as many entries as every other cache.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from chat import TEXT, generation_of, llm_string_of, prompt_of
from langchain_semroute import SemrouteCache
from timed import MODEL, About, own_output, serve, versions_of

import semroute
from semroute import SemanticCache
from semroute.embedders.onnx import OnnxEmbedder
from semroute.evaluation.vectors import AheadEmbedder
from semroute.result import Hit, Stored

EMBEDDING = "all-MiniLM-L6-v2, int8, ONNX Runtime: our default"


class Core:
    """`SemanticCache.lookup`; that the request is built is part of the time."""

    def __init__(self, url: str, embedder: OnnxEmbedder, ahead: AheadEmbedder) -> None:
        self._ahead = ahead
        self._cache = SemanticCache(f"{url}?shard=core", embedder=embedder)
        call = "SemanticCache.lookup"
        self.about = About("semroute", TEXT, call, EMBEDDING, {"semroute": semroute.__version__})

    def fill(self, questions: Sequence[str], answers: Sequence[str]) -> None:
        self._ahead.prepare(questions)
        filling = SemanticCache(self._cache.store, embedder=self._ahead)
        for question, answer in zip(questions, answers, strict=True):
            kept = filling.update(filling.request(question, model=MODEL), answer)
            if not isinstance(kept, Stored):
                raise SystemExit(f"{question!r} was not stored: {kept}")

    def call(self, text: str, model: str) -> Callable[[], Any]:
        return lambda: self._cache.lookup(self._cache.request(text, model=model))

    def answer_in(self, found: Any) -> str | None:
        return found.answer.text if isinstance(found, Hit) else None

    def store(self, text: str, model: str, answer: str) -> None:
        self._cache.update(self._cache.request(text, model=model), answer)


class LangChain:
    """`SemrouteCache.lookup`, asked as LangChain asks it."""

    def __init__(self, url: str, embedder: OnnxEmbedder, ahead: AheadEmbedder, form: str) -> None:
        self._ahead = ahead
        self._form = form
        self._cache = SemrouteCache(f"{url}?shard=langchain-{form}", embedder=embedder)
        versions = {"semroute": semroute.__version__, **versions_of("langchain-core")}
        self.about = About("langchain_semroute", form, "SemrouteCache.lookup", EMBEDDING, versions)

    def fill(self, questions: Sequence[str], answers: Sequence[str]) -> None:
        self._ahead.prepare(questions)
        filling = SemrouteCache(self._cache.core.store, embedder=self._ahead)
        for question, answer in zip(questions, answers, strict=True):
            self._keep(filling, question, MODEL, answer)
        if filling.stats().stored != len(questions):
            raise SystemExit(f"of {len(questions)} answers {filling.stats().stored} were stored")

    def call(self, text: str, model: str) -> Callable[[], Any]:
        prompt, llm_string = prompt_of(text, self._form), llm_string_of(model)
        return lambda: self._cache.lookup(prompt, llm_string)

    def answer_in(self, found: Any) -> str | None:
        return found[0].text if found else None

    def store(self, text: str, model: str, answer: str) -> None:
        self._keep(self._cache, text, model, answer)

    def _keep(self, cache: SemrouteCache, text: str, model: str, answer: str) -> None:
        cache.update(prompt_of(text, self._form), llm_string_of(model), [generation_of(answer, self._form)])


def main() -> None:
    """Load the model, open the store, then do as told."""
    url, *forms = sys.argv[1:]
    said = own_output()
    embedder = OnnxEmbedder()
    embedder.preload()
    ahead = AheadEmbedder(embedder)
    parts = (url, embedder, ahead)
    serve([Core(*parts), *(LangChain(*parts, form) for form in forms)], sys.stdin, said)


if __name__ == "__main__":
    main()
