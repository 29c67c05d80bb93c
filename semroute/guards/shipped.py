"""The verifier that ships, read when it is first asked."""

from __future__ import annotations

import logging
from functools import cached_property
from typing import TYPE_CHECKING, Final

from semroute.errors import ConfigError
from semroute.guards.verifier import Verifier
from semroute.result import Verdict

if TYPE_CHECKING:
    from semroute.entry import Candidate

logger = logging.getLogger("semroute.guards")

_NO_EMBEDDER: Final = "none: the verifier could not be read"


class ShippedVerifier:
    """Stands for `Verifier.load()` without reading anything before it is needed.

    Where its file cannot be read it is of no embedder at all, so that the lexical guards stand in for it.
    """

    name = "verifier"

    @property
    def embedder(self) -> str | None:
        return _NO_EMBEDDER if self._verifier is None else self._verifier.embedder

    @property
    def digest(self) -> str:
        return "none" if self._verifier is None else self._verifier.digest

    def check(self, query: str, candidate: Candidate) -> Verdict:
        """Ask the verifier; raises ConfigError where it could not be read."""
        if self._verifier is None:
            raise ConfigError("the verifier that ships could not be read: install semroute-cache anew")
        return self._verifier.check(query, candidate)

    @cached_property
    def _verifier(self) -> Verifier | None:
        try:
            return Verifier.load()
        except ConfigError as error:
            logger.warning("lexical guards alone decide: %s", error)
            return None
