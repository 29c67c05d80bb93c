"""Any model of sentence-transformers as an embedder, on torch."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semroute.embedders._text import cannot_fit, has_lone_surrogates, over_limit, replace_lone_surrogates
from semroute.errors import EmbedderError, MissingExtra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class SentenceTransformerEmbedder:
    """Sentence vectors from a sentence-transformers model, given by name or folder; loaded at first use.

    Each text is a forward pass of its own: padding in a mixed batch would move its vector in the last digits. The
    identity is a digest of the weights themselves, so that a model that is changed under the same name is another one.
    """

    def __init__(
        self, model: str | os.PathLike[str], *, revision: str | None = None, device: str | None = None
    ) -> None:
        self._name = os.fspath(model)
        self._revision = revision
        self._device = device
        self._lock = threading.Lock()
        self._model: Any = None
        self._identity: str | None = None

    def __repr__(self) -> str:
        state = "not loaded" if self._model is None else "loaded"
        return f"<SentenceTransformerEmbedder {self._name!r}, {state}>"

    @property
    def identity(self) -> str:
        model = self._load()
        with self._lock:
            if self._identity is None:
                self._identity = _identity(Path(self._name).name, model)
            return self._identity

    def preload(self) -> None:
        """Load the model now instead of at first use."""
        self._load()

    def close(self) -> None:
        """Let go of the model; it is loaded again when needed."""
        with self._lock:
            self._model = None

    def fits(self, text: str) -> bool:
        model = self._load()
        limit = _limit(model)
        if has_lone_surrogates(text) or (limit is not None and cannot_fit(text, limit)):
            return False
        return limit is None or _count(model, text) <= limit

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np

        model = self._load()
        vectors = np.empty((len(texts), _dimensions(model)), dtype=np.float32)
        for row, text in enumerate(texts):
            vectors[row] = self._vector(model, replace_lone_surrogates(text))
        return vectors

    def _vector(self, model: Any, text: str) -> NDArray[np.float32]:
        limit = _limit(model)
        if limit is not None and (cannot_fit(text, limit) or _count(model, text) > limit):
            raise over_limit(text, limit)
        try:
            vector: NDArray[np.float32] = model.encode(
                [text], normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
            )[0]
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise EmbedderError(f"{self._name} failed on a text of {len(text)} characters: {error}") from error
        return vector

    def _load(self) -> Any:
        with self._lock:
            if self._model is None:
                self._model = self._open()
            return self._model

    def _open(self) -> Any:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingExtra("SentenceTransformerEmbedder", "evals") from error
        try:
            model = SentenceTransformer(self._name, revision=self._revision, device=self._device)
        except (OSError, RuntimeError, ValueError) as error:
            raise EmbedderError(f"the sentence-transformers model {self._name!r} cannot be loaded: {error}") from error
        return model.eval()


def _limit(model: Any) -> int | None:
    limit = model.max_seq_length
    return None if limit is None else int(limit)


def _dimensions(model: Any) -> int:
    # The older name is deprecated in the releases that know the newer one.
    if hasattr(model, "get_embedding_dimension"):
        return int(model.get_embedding_dimension())
    return int(model.get_sentence_embedding_dimension())


def _count(model: Any, text: str) -> int:
    return len(model.tokenizer(text, truncation=False, add_special_tokens=True, verbose=False)["input_ids"])


def _identity(name: str, model: Any) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(f"{key}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        # bfloat16 has no numpy form, and float32 holds every value of it.
        digest.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
    vocabulary = sorted(model.tokenizer.get_vocab().items())
    digest.update(f"{_limit(model)};{vocabulary}".encode(errors="surrogatepass"))
    return f"sentence-transformers-{name}-{digest.hexdigest()}"
