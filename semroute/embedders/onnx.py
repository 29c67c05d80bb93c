"""The default embedder: all-MiniLM-L6-v2 on ONNX Runtime, without torch."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from semroute.embedders._export import Precision
from semroute.embedders._text import cannot_fit, has_lone_surrogates, over_limit, replace_lone_surrogates
from semroute.errors import ConfigError, EmbedderError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from semroute.embedders._session import Session

MODEL_DIR_VARIABLE = "SEMROUTE_MODEL_DIR"
CACHE_DIR_VARIABLE = "SEMROUTE_CACHE_DIR"
_FEW = 8
"""Up to this many texts are embedded on the caller's own thread."""


class OnnxEmbedder:
    """Sentence vectors from ONNX Runtime; texts of one length share a run, which leaves their vectors as they are.

    The model is found at first use: `model_dir` (or SEMROUTE_MODEL_DIR), a folder with an export or with
    sentence-transformers weights; else the default model, all-MiniLM-L6-v2 (384 dimensions, at most 256 tokens), from
    an earlier export in `cache_dir` (or SEMROUTE_CACHE_DIR, or the user's cache folder), from the model hub, or from
    an export made once out of the hub's cache or the packaged weights. Each graph is an identity of its own.

    `precision` is "int8" (weights and activations in blocks of 64, each with a scale of its own, so that the cosine to
    float32 is about 0.999 and hits at a fixed threshold stay the same) or "float32"; `python evals/embedding.py`
    measures both, and evals/embedding.md has the figures. `workers` is how many texts are embedded at once, each on one
    thread (default: the processor cores this process may use). `use_hub=False` never asks the hub; `progress` is told
    in a few words what takes long.
    """

    def __init__(
        self,
        *,
        model_dir: str | os.PathLike[str] | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        precision: Precision = "int8",
        workers: int | None = None,
        use_hub: bool = True,
        progress: Callable[[str], None] | None = None,
    ) -> None:
        if precision not in get_args(Precision):
            raise ConfigError(f"precision={precision!r} is unknown: choose one of {', '.join(get_args(Precision))}")
        if workers is not None and workers < 1:
            raise ConfigError(f"workers={workers} is out of range: give 1 or more, or None for one a core")
        self._model_dir = model_dir
        self._cache_dir = cache_dir
        self._precision = precision
        self._workers = workers
        self._use_hub = use_hub
        self._progress = progress
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._process = os.getpid()
        self._abandoned: list[Session] = []

    def __repr__(self) -> str:
        session = self._session
        state = "not loaded" if session is None else f"loaded from {str(session.model.folder)!r}"
        return f"<OnnxEmbedder {self._precision}, {state}>"

    @property
    def identity(self) -> str:
        return self._load().model.identity

    @property
    def dimensions(self) -> int:
        return self._load().model.dimensions

    @property
    def max_tokens(self) -> int:
        return self._load().model.max_tokens

    @property
    def is_ready(self) -> bool:
        """Whether the model is loaded, so that an embedding only computes."""
        return self._session is not None and self._process == os.getpid()

    def preload(self) -> None:
        """Load the model now instead of at first use."""
        self._load()

    def close(self) -> None:
        """Let go of the model; it is loaded again when needed."""
        self._notice_fork()
        with self._lock:
            self._session = None

    def fits(self, text: str) -> bool:
        """Say whether the vector stands for all of the text: it is short enough, and the vocabulary knows all of it.

        A piece that the vocabulary does not know (an emoji, a rare script) is the same unknown token as any other such
        piece, so two different texts would get one vector.
        """
        session = self._load()
        if cannot_fit(text, session.model.max_tokens) or has_lone_surrogates(text):
            return False
        ids = session.tokenize(text)
        return len(ids) <= session.model.max_tokens and session.unknown_id not in ids

    def length(self, text: str) -> int:
        """Return how many tokens a text has, as those of one length share a run; -1 for one that is not embedded."""
        try:
            return len(self._ids(self._load(), text))
        except EmbedderError:
            return -1

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np

        session = self._load()
        ids = [self._ids(session, text) for text in texts]
        runs = _runs(ids, session.most_a_run)
        vectors = np.empty((len(texts), session.model.dimensions), dtype=np.float32)
        if len(texts) <= _FEW or session.workers < 2:
            for rows in runs:
                vectors[rows] = session.run([ids[row] for row in rows])
            return vectors
        with ThreadPoolExecutor(min(session.workers, len(runs)), thread_name_prefix="semroute-embed") as pool:
            for rows, found in zip(
                runs, pool.map(lambda rows: session.run([ids[row] for row in rows]), runs), strict=True
            ):
                vectors[rows] = found
        return vectors

    def _ids(self, session: Session, text: str) -> list[int]:
        limit = session.model.max_tokens
        if not cannot_fit(text, limit):
            ids = session.tokenize(replace_lone_surrogates(text))
            if len(ids) <= limit:
                return ids
        raise over_limit(text, limit)

    def _load(self) -> Session:
        session = self._session
        if session is not None and self._process == os.getpid():
            return session
        self._notice_fork()
        with self._lock:
            if self._session is None:
                self._session = self._open()
            return self._session

    def _notice_fork(self) -> None:
        """Start afresh in a forked child: the parent's threads are gone, and one of them may have held the lock."""
        if self._process == os.getpid():
            return
        if self._session is not None:
            # Kept, because taking it apart would wait for threads that only the parent has.
            self._abandoned.append(self._session)
        self._session = None
        self._lock = threading.Lock()
        self._process = os.getpid()

    def _open(self) -> Session:
        from semroute.embedders._models import Search, find_model
        from semroute.embedders._session import Session, require_runtime

        require_runtime()
        search = Search(
            model_dir=_folder(self._model_dir, MODEL_DIR_VARIABLE),
            cache_dir=_folder(self._cache_dir, CACHE_DIR_VARIABLE) or _user_cache_dir(),
            precision=self._precision,
            use_hub=self._use_hub,
            progress=self._progress,
        )
        return Session(find_model(search), workers=usable_cores() if self._workers is None else self._workers)


def _runs(ids: Sequence[list[int]], most: int) -> list[list[int]]:
    """Part the rows of tokenised texts into runs of one length, each of at most `most` rows."""
    by_length: dict[int, list[int]] = {}
    for row, text_ids in enumerate(ids):
        by_length.setdefault(len(text_ids), []).append(row)
    return [rows[start : start + most] for rows in by_length.values() for start in range(0, len(rows), most)]


def usable_cores() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    cores = os.cpu_count()
    return 1 if cores is None else cores


def _folder(argument: str | os.PathLike[str] | None, variable: str) -> Path | None:
    if argument is not None:
        return Path(argument).expanduser()
    named = os.environ.get(variable, "")
    return Path(named).expanduser() if named else None


def _user_cache_dir() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("semroute")
