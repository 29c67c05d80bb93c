"""LlamaIndex's embedding models as embedders of the cache, and the cache's embedder as one of LlamaIndex's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding
from pydantic import PrivateAttr

from llama_index_semroute._cores import check_settings
from semroute.defaults import default_embedder
from semroute.embedders import Embedder
from semroute.embedders._adapting import MAX_CHARACTERS, AdaptedEmbedder, derived_identity
from semroute.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MODELS: Final = ("model", "model_name", "model_id", "deployment_name")
_UNNAMED: Final = "unknown"  # the default of every embedding model of LlamaIndex
_VARIANTS: Final = (
    *("dimensions", "mode", "revision", "query_instruction", "pooling", "normalize", "max_length"),
    *("input_type", "task", "truncate"),
)
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")
_SENTENCE_END: Final = re.compile(r"[.!?…]\s+|\n+|[。！？]")
_GAP: Final = re.compile(r"\s+")


class LlamaIndexEmbedder(AdaptedEmbedder):
    """Wraps an embedding model of LlamaIndex as an embedder of the cache; rows are brought to length 1.

    `identity` names the model, because vectors of two models must never meet: without it, it is derived from the
    class and its model's name, and a model that has none is refused. `max_characters` is the longest text that the
    model surely embeds whole: LlamaIndex knows no limit, and many models cut silently. Raise it for a model with a
    long one. Where `is_unit`, the cache's vector of a question is the very one that `embed_model` would give an index.
    """

    def __init__(
        self, embed_model: BaseEmbedding, *, identity: str | None = None, max_characters: int = MAX_CHARACTERS
    ) -> None:
        if isinstance(embed_model, SemrouteEmbedding):
            raise ConfigError("a SemrouteEmbedding is made of an embedder already: give the cache its .embedder")
        given: object = embed_model
        if not isinstance(given, BaseEmbedding):
            raise ConfigError(f"LlamaIndexEmbedder takes an embedding model of LlamaIndex, not {type(given).__name__}")
        if identity is None:
            models = [name for name in _MODELS if getattr(embed_model, name, None) != _UNNAMED]
            identity = derived_identity("llama-index", embed_model, models, _VARIANTS, type(self).__name__)
        super().__init__(embed_model.get_query_embedding, identity, max_characters)
        self.embed_model = embed_model


class SemrouteEmbedding(BaseEmbedding):
    """The cache's embedder as an embedding model of LlamaIndex, so that an index and the cache share one model.

    `embedder` is the ONNX embedder by default, and is loaded at first use. A chunk of an index may be longer than the
    model takes (all-MiniLM-L6-v2 takes 256 tokens, the default chunk has up to 1,024): it is cut into windows that
    fit, at the ends of sentences where there are any, and its vector is the mean of theirs, weighted by their length
    and brought to length 1. Nothing of a text is left out. Long chunks are found better when they are made shorter:
    `SentenceSplitter(chunk_size=256)`.

    `to_dict` tells the embedder's identity, and so loads the model: an `IngestionPipeline` keeps what it has made by
    it. What is made from such a dict has the default embedder, unless `from_dict(data, embedder=…)` names another, and
    raises ConfigError at first use where that is not the one that was written down.
    """

    identity: str | None = None
    """The embedder that is wanted, where that is known; None for whichever there is."""
    _embedder: Embedder = PrivateAttr()

    def __init__(self, embedder: Embedder | None = None, **settings: Any) -> None:
        given: Embedder = default_embedder() if embedder is None else embedder
        # Not `isinstance(given, Embedder)`: Python 3.11 would ask for the identity, and so load the model.
        if isinstance(given, BaseEmbedding) or not callable(getattr(given, "embed", None)):
            raise ConfigError(
                f"embedder must be one of the cache, such as OnnxEmbedder(), not {given!r}: an embedding model of "
                "LlamaIndex needs no SemrouteEmbedding round it"
            )
        check_settings(type(self), settings)
        super().__init__(**{"model_name": type(given).__name__, **settings})
        self._embedder = given

    @classmethod
    def class_name(cls) -> str:
        return "SemrouteEmbedding"

    @property
    def embedder(self) -> Embedder:
        """The embedder, for the cache: `SemanticCache(embedder=embedding.embedder)`. Raises ConfigError.

        That is where it is another one than was written down.
        """
        if self.identity is not None and self._embedder.identity != self.identity:
            raise ConfigError(
                f"this embedding was written down with the embedder {self.identity}, and has {self._embedder.identity}"
                " now: from_dict(data, embedder=…) names the right one"
            )
        return self._embedder

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().to_dict(**kwargs), "identity": self.embedder.identity}

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state["__dict__"] = {**state["__dict__"], "identity": self.embedder.identity}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        kept = state.get("__pydantic_private__")
        embedder = None if kept is None else kept.get("_embedder")
        self.__init__(embedder, **state["__dict__"])  # type: ignore[misc]  # as the base class does

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """A loaded model is a shared resource."""
        return self

    def _get_query_embedding(self, query: str) -> Embedding:
        return self._embedded([query])[0]

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return await asyncio.to_thread(self._get_query_embedding, query)

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._embedded([text])[0]

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return await asyncio.to_thread(self._get_text_embedding, text)

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return self._embedded(texts)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await asyncio.to_thread(self._embedded, texts)

    def _embedded(self, texts: Sequence[str]) -> list[Embedding]:
        return [vector.tolist() for vector in embedded(self.embedder, texts)]

    def _semroute_form(self) -> str:
        """Say what decides its vectors, for the keys of query engines."""
        return self.embedder.identity


def embedded(embedder: Embedder, texts: Sequence[str]) -> list[NDArray[np.float32]]:
    """Embed texts of any length together, as unit vectors; raises EmbedderError."""
    windows = [list(_windows(embedder, text)) for text in texts]
    rows = embedder.embed([window for each in windows for window in each])
    ends = np.cumsum([len(each) for each in windows])
    parts = np.split(rows, ends[:-1]) if texts else []
    return [_mean(part, each) for part, each in zip(parts, windows, strict=True)]


def _windows(embedder: Embedder, text: str) -> Iterator[str]:
    """Yield a text in pieces that the embedder takes, all of it."""
    if len(text) < 2 or _is_short(embedder, text):
        yield text
        return
    middle = _cut(text)
    yield from _windows(embedder, text[:middle])
    yield from _windows(embedder, text[middle:])


def _is_short(embedder: Embedder, text: str) -> bool:
    """Say whether a text is within the limit, whatever is in it.

    An embedder also says of a short text that it does not fit, where it holds what the vocabulary does not know. So
    it is asked again with "x" for every byte of what is not ASCII: no tokenizer makes more tokens of it than that.
    """
    return embedder.fits(text) or (
        not text.isascii() and embedder.fits(_NOT_ASCII.sub(lambda found: " x" * _bytes(found[0]) + " ", text))
    )


def _bytes(character: str) -> int:
    return len(character.encode("utf-8", "surrogatepass"))


def _cut(text: str) -> int:
    """Return where to cut a text in two: near its middle at the end of a sentence, or of a word, or just there."""
    middle = len(text) // 2
    first, last = len(text) // 4, len(text) - len(text) // 4
    for boundary in (_SENTENCE_END, _GAP):
        ends = [found.end() for found in boundary.finditer(text, first, last) if 0 < found.end() < len(text)]
        if ends:
            return min(ends, key=lambda end: abs(end - middle))
    return middle


def _mean(rows: NDArray[np.float32], windows: Sequence[str]) -> NDArray[np.float32]:
    """Return the direction of a whole text from those of its windows."""
    if len(rows) == 1:
        only: NDArray[np.float32] = rows[0]
        return only
    mean = np.average(rows, axis=0, weights=[len(window) for window in windows])
    length = float(np.linalg.norm(mean))
    direction: NDArray[np.float32] = rows[0] if length == 0.0 else (mean / length).astype(np.float32)
    return direction
