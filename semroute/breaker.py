"""A circuit breaker: a part that keeps failing is left alone for a while, and tried again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Literal, TypeAlias

State: TypeAlias = Literal["closed", "open", "half_open"]


class Breaker:
    """Opens after `failures_to_open` failures in a row; after `cooldown_s` lets one trial through.

    `on_change(part, state, reason)` is called once per change of state, outside the lock.
    """

    def __init__(
        self,
        part: str,
        on_change: Callable[[str, State, str], None],
        *,
        failures_to_open: int = 3,
        cooldown_s: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.part = part
        self._on_change = on_change
        self._failures_to_open = failures_to_open
        self._cooldown_s = cooldown_s
        self._clock = clock
        self._lock = threading.Lock()
        self._state: State = "closed"
        self._failures = 0
        self._opened_at = 0.0
        self._reason = ""

    def __repr__(self) -> str:
        return f"<Breaker {self.part} {self._state}, {self._failures} failures in a row>"

    @property
    def state(self) -> State:
        return self._state

    @property
    def reason(self) -> str:
        """The last failure, for a person."""
        return self._reason

    def allows(self) -> bool:
        """Say whether the part may be tried now; after the cooldown one caller gets a trial."""
        if self._state == "closed":
            return True
        with self._lock:
            if self._clock() - self._opened_at < self._cooldown_s:
                return False
            self._opened_at = self._clock()
            changed = self._state != "half_open"
            self._state = "half_open"
        if changed:
            self._on_change(self.part, "half_open", self._reason)
        return True

    def succeeded(self) -> None:
        """Note a success: the breaker closes."""
        if self._failures == 0:
            return
        with self._lock:
            changed = self._state != "closed"
            self._state, self._failures = "closed", 0
        if changed:
            self._on_change(self.part, "closed", self._reason)

    def failed(self, reason: str) -> None:
        """Note a failure: the breaker opens when there were enough of them in a row."""
        with self._lock:
            self._reason = reason
            self._failures += 1
            opens = self._state == "half_open" or self._failures >= self._failures_to_open
            changed = opens and self._state != "open"
            if opens:
                self._state, self._opened_at = "open", self._clock()
        if changed:
            self._on_change(self.part, "open", reason)


def logged(logger: logging.Logger) -> Callable[[str, State, str], None]:
    """Return an `on_change` that logs: a warning when a part goes down, and once when it is back."""

    def on_change(part: str, state: State, reason: str) -> None:
        match state:
            case "open":
                logger.warning("the %s keeps failing and is left alone for a while: %s", part, reason)
            case "closed":
                logger.info("the %s works again", part)
            case "half_open":
                logger.debug("the %s is tried again", part)

    return on_change
