"""What an application should know, said once."""

from __future__ import annotations

import logging

_KEPT = 256


class Notices:
    """Says a thing once: the first time as a warning of the named logger, later for debugging only."""

    def __init__(self, logger: str) -> None:
        self._logger = logging.getLogger(logger)
        self._said: set[str] = set()

    def tell(self, text: str) -> None:
        """Log a text, unless it was said before."""
        is_new = text not in self._said and len(self._said) < _KEPT
        if is_new:
            self._said.add(text)
        self._logger.log(logging.WARNING if is_new else logging.DEBUG, "%s", text)

    def failed(self, deed: str, error: Exception) -> None:
        """Tell of a failure that the caller goes on without."""
        self.tell(f"{deed} failed, the model is asked instead: {type(error).__name__}: {error}")
