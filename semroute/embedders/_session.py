"""A loaded model: tokenizer and ONNX Runtime session, texts of one length a run."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from semroute.errors import EmbedderError, MissingExtra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from semroute.embedders._folder import Model


def require_runtime() -> None:
    """Raise MissingExtra where ONNX Runtime or the tokenizers are not installed, before a model is looked for."""
    try:
        import onnxruntime  # noqa: F401  # only whether it is there
        import tokenizers  # noqa: F401  # as above
    except ImportError as error:
        raise MissingExtra("OnnxEmbedder", "embed") from error


_MOST_A_RUN = 8


class Session:
    """Runs a model on one thread a run, for at most `workers` runs at once; safe to share between threads."""

    def __init__(self, model: Model, *, workers: int) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        self.model = model
        self.workers = workers
        # More runs than cores would only take turns on them, each with its own scratch memory.
        self._turns = threading.BoundedSemaphore(workers)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._tokenizer = Tokenizer.from_file(str(model.tokenizer))
            self._runtime = onnxruntime.InferenceSession(
                str(model.graph), sess_options=options, providers=["CPUExecutionProvider"]
            )
        # The tokenizer raises plain Exception, and the runtime a class for each status, with no base but Exception.
        except Exception as error:
            raise EmbedderError(f"the model in {model.folder} cannot be loaded: {error}") from error
        # What the file says of padding and cutting is for batches, and for texts that are never cut here.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.unknown_id = self._tokenizer.token_to_id("[UNK]")
        # `length`, `fits` and `embed` ask for the same text, with others between where many come at once.
        self.tokenize = lru_cache(maxsize=128)(self._tokenize)
        self.most_a_run = _MOST_A_RUN if model.pooling == "graph" else 1
        """How many texts of one length share a run: those of a graph that was exported elsewhere may not, because
        quantisation of whole batches would let a text's vector depend on its neighbours."""
        self._inputs = {node.name: _dtype(node.type) for node in self._runtime.get_inputs()}

    def _tokenize(self, text: str) -> list[int]:
        try:
            ids: list[int] = self._tokenizer.encode(text).ids
        except Exception as error:  # the tokenizer raises plain Exception
            raise EmbedderError(f"a text of {len(text)} characters cannot be tokenised: {error}") from error
        return ids

    def run(self, ids: Sequence[list[int]]) -> NDArray[np.float32]:
        """Return the unit vectors of tokenised texts, all of one length; shape (texts, dimensions)."""
        feeds = {name: self._feed(name, ids, dtype) for name, dtype in self._inputs.items()}
        try:
            with self._turns:
                output = self._runtime.run(None, feeds)[0]
        except Exception as error:  # the runtime has a class for each status, with no base but Exception
            raise EmbedderError(f"the embedding model failed on a text of {len(ids[0])} tokens: {error}") from error
        return self._pool(output)

    def _feed(self, name: str, ids: Sequence[list[int]], dtype: str) -> NDArray[Any]:
        import numpy as np

        match name:
            case "attention_mask":
                return np.ones((len(ids), len(ids[0])), dtype=dtype)
            case "token_type_ids":
                return np.zeros((len(ids), len(ids[0])), dtype=dtype)
            case _:
                return np.array(ids, dtype=dtype)

    def _pool(self, output: NDArray[np.float32]) -> NDArray[np.float32]:
        import numpy as np

        if self.model.pooling == "graph":
            return output
        # Without padding the mean is the plain mean of all tokens.
        pooled = output[:, 0] if self.model.pooling == "cls" else output.mean(axis=1)
        units: NDArray[np.float32] = (pooled / np.linalg.norm(pooled, axis=1, keepdims=True)).astype(np.float32)
        return units


def _dtype(name: str) -> str:
    return name.removeprefix("tensor(").removesuffix(")")
