"""The verifier that ships, read when it is first asked; and the one that an application names instead."""

from __future__ import annotations

import logging
import os
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from semroute.errors import ConfigError
from semroute.guards import Estimator
from semroute.guards.verifier import Verifier
from semroute.result import Verdict

if TYPE_CHECKING:
    from semroute.entry import Candidate

logger = logging.getLogger("semroute.guards")

NamedVerifier: TypeAlias = "Estimator | str | os.PathLike[str] | Literal[False]"
"""What may be given for a verifier: one, the file or folder of one, or False for none at all."""
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


def verifier_of(named: NamedVerifier) -> Estimator | None:
    """Return the verifier that is meant: None for False. Raises ConfigError for what is none, or cannot be read."""
    given: object = named
    if given is False:
        return None
    if isinstance(given, str | os.PathLike):
        return Verifier.load(given)
    # A class has all that its objects have.
    if isinstance(given, type) or not isinstance(given, Estimator):
        raise ConfigError(
            "verifier must be a verifier (Verifier.load), the path of its file, or False for none, "
            f"not {given!r}; a guard without an embedder and a digest belongs in guards"
        )
    return given
