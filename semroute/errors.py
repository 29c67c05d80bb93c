"""Every error that semroute raises, split by who must act on it."""

from __future__ import annotations


class SemrouteError(Exception):
    """The base of all errors of this library."""


class ConfigError(SemrouteError):
    """A setting, an argument or a combination of parts is wrong; the caller must change it."""


class StoreError(SemrouteError):
    """The store could not do what was asked: gone, locked, full, read-only or damaged."""


class EmbedderError(SemrouteError):
    """The embedder could not be loaded, or could not turn a text into a vector."""


class RouterError(SemrouteError):
    """The router could not reach a decision."""


class DeadlineExceeded(SemrouteError):
    """A part did not answer within the time it was given."""


class MissingExtra(ConfigError):
    """An optional dependency is needed and not installed; the message names the extra."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra that is not installed: pip install 'semroute-cache[{extra}]'")
        self.what = what
        self.extra = extra

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str]]:
        return type(self), (self.what, self.extra)
