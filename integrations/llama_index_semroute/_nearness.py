"""How near a question is to the descriptions of what it may be sent to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Final

import numpy as np

from llama_index_semroute.embeddings import embedded

if TYPE_CHECKING:
    from llama_index.core.tools.types import ToolMetadata
    from numpy.typing import NDArray

    from semroute.embedders import Embedder

_TEMPERATURE: Final = 0.05
"""Of the softmax: a description that is nearer by 0.1 of cosine than the only other one has a confidence of 0.88."""
_KEPT: Final = 64


class Near:
    """How near a question is to each choice."""

    def __init__(self, similarities: NDArray[np.float32], vector: NDArray[np.float32]) -> None:
        self.vector = vector
        self.similarities = tuple(float(each) for each in similarities)
        weights = np.exp((similarities - similarities.max()).astype(np.float64) / _TEMPERATURE)
        shares = weights / weights.sum()
        self.index = int(shares.argmax())
        self.confidence = float(shares[self.index])


class Nearness:
    """Compares questions with descriptions, whose vectors are kept: an application has few lists of choices."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self._lock = Lock()
        self._known: OrderedDict[tuple[str, ...], NDArray[np.float32]] = OrderedDict()

    def near(self, choices: Sequence[ToolMetadata], question: str) -> Near:
        """Compare a question with the choices; raises EmbedderError."""
        texts = tuple(map(described, choices))
        with self._lock:
            known = self._known.get(texts)
        if known is None:
            known = np.stack(embedded(self.embedder, texts))
            with self._lock:
                self._known[texts] = known
                if len(self._known) > _KEPT:
                    self._known.popitem(last=False)
        (vector,) = embedded(self.embedder, [question])
        return Near(known @ vector, vector)


def described(choice: ToolMetadata) -> str:
    """Return what is compared with a question: the description, or the name of a choice that has none."""
    return choice.description if choice.description.strip() or choice.name is None else choice.name
