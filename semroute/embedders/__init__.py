"""Embedders: texts to unit vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@runtime_checkable
class Embedder(Protocol):
    """Turns texts into unit vectors. Construction does no I/O; the model is loaded at first use."""

    @property
    def identity(self) -> str:
        """A digest of all that decides the vector (model graph, tokenizer, precision); may load the model.

        Raises EmbedderError when no model can be found.
        """
        ...

    def fits(self, text: str) -> bool:
        """Say whether the text is within the model's limit, so that its vector stands for all of it."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts; shape (len(texts), dimensions), rows of length 1.

        The same text gives the same vector, alone, in a batch, or under load. Raises EmbedderError.
        """
        ...


@runtime_checkable
class InProcess(Protocol):
    """An embedder that only computes once it is ready: it cannot hang, so it may run on the caller's own thread."""

    @property
    def is_ready(self) -> bool:
        """Whether the model is loaded."""
        ...


@runtime_checkable
class Batching(Protocol):
    """An embedder to which several texts of one length cost less together than one by one."""

    def length(self, text: str) -> int:
        """Return how long a text is to the model; -1 for one that it does not take. Raises nothing."""
        ...
