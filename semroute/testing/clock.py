"""A clock for tests, which goes only where it is sent."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

START_S: Final = 1_750_000_000.0
"""Where a fake clock starts, in seconds since the Unix epoch."""


class FakeClock:
    """Stands still until it is moved; call it for the time in seconds."""

    def __init__(self, now_s: float = START_S) -> None:
        self.now_s = now_s

    def __repr__(self) -> str:
        return f"<FakeClock {self.now_s:.3f}>"

    def __call__(self) -> float:
        return self.now_s

    def advance(self, by: timedelta | float) -> None:
        """Move the clock by a time, a number being seconds; a negative one moves it back."""
        self.now_s += by.total_seconds() if isinstance(by, timedelta) else by
