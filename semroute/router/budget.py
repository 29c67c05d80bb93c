"""What second looks may cost: a share of the requests, and tokens an hour."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from semroute.errors import ConfigError

DEFAULT_SHARE: Final = 0.1
DEFAULT_TOKENS_PER_HOUR: Final = 500_000
DEFAULT_BURST: Final = 10

_MILLIONTHS: Final = 1_000_000
_MINUTES: Final = 60
_MINUTE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Spending:
    """What a budget has seen and granted since it was made; the figures of one process."""

    requests: int = 0
    """Requests that were counted, whether or not anything was asked for."""
    granted: int = 0
    over_share: int = 0
    """How often nothing was granted, because the share of the requests was used up."""
    over_tokens: int = 0
    """How often nothing was granted, because the tokens of this hour were used up."""
    tokens: int = 0
    """Tokens that were granted."""
    tokens_of_this_hour: int = 0

    @property
    def share(self) -> float:
        """What was granted as a fraction of the requests; 0.0 before the first."""
        return self.granted / self.requests if self.requests else 0.0


class Budget:
    """Grants at most `share` of the requests that it counts, and at most `tokens_per_hour` in any hour.

    Every request earns `share` of a grant, a grant costs a whole one, and at most `burst` of them gather: of any n
    requests in a row at most `share * n + burst` are granted, and of all since the start at most `share * n`. Nothing
    is drawn by lot, so that equal requests are granted alike. The hour slides by the minute and counts a minute until
    all of it has gone by. None for `tokens_per_hour` sets no limit there. A budget may be shared by threads; each
    process has its own. Raises ConfigError for numbers that are out of range.
    """

    def __init__(
        self,
        share: float = DEFAULT_SHARE,
        *,
        tokens_per_hour: int | None = DEFAULT_TOKENS_PER_HOUR,
        burst: int = DEFAULT_BURST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        given: object = share
        if not isinstance(given, int | float) or isinstance(given, bool) or not 0.0 <= given <= 1.0:
            raise ConfigError(f"share={share!r} must be a fraction of the requests, from 0 to 1")
        if tokens_per_hour is not None and (not _is_whole(tokens_per_hour) or tokens_per_hour < 0):
            raise ConfigError(f"tokens_per_hour={tokens_per_hour!r} must be a whole number, or None for no limit")
        if not _is_whole(burst) or burst < 1:
            raise ConfigError(f"burst={burst!r} must be a whole number of at least 1")
        self._share = share
        self._tokens_per_hour = tokens_per_hour
        # In whole millionths, so that ten tenths make one; rounded down, so that a share is never exceeded.
        self._earned = math.floor(share * _MILLIONTHS + 1e-6)
        self._most = burst * _MILLIONTHS
        self._clock = clock
        self._lock = threading.Lock()
        self._credit = 0
        self._hour = _Hour()
        self._requests, self._granted, self._tokens = 0, 0, 0
        self._over_share, self._over_tokens = 0, 0

    def __repr__(self) -> str:
        spent = self.spending()
        tokens = "any" if self._tokens_per_hour is None else f"{self._tokens_per_hour:,}"
        return (
            f"<Budget {self._share:g} of requests, {tokens} tokens an hour: granted {spent.granted} of "
            f"{spent.requests}, {spent.tokens_of_this_hour:,} tokens in this hour>"
        )

    @property
    def share(self) -> float:
        return self._share

    @property
    def tokens_per_hour(self) -> int | None:
        return self._tokens_per_hour

    def count(self) -> None:
        """Count a request: it earns its share of a grant."""
        with self._lock:
            self._requests += 1
            self._credit = min(self._credit + self._earned, self._most)

    def take(self, tokens: int) -> bool:
        """Say whether a call of about so many tokens may be made; where it may, it is paid for at once.

        Raises ConfigError for a number of tokens that cannot be.
        """
        if not _is_whole(tokens) or tokens < 0:
            raise ConfigError(f"tokens={tokens!r} must be a whole number of at least 0")
        with self._lock:
            if self._credit < _MILLIONTHS:
                self._over_share += 1
                return False
            now_s = self._clock()
            if self._tokens_per_hour is not None and self._hour.total(now_s) + tokens > self._tokens_per_hour:
                self._over_tokens += 1
                return False
            self._credit -= _MILLIONTHS
            self._hour.add(now_s, tokens)
            self._granted += 1
            self._tokens += tokens
            return True

    def spending(self) -> Spending:
        """Return a snapshot."""
        with self._lock:
            return Spending(
                requests=self._requests,
                granted=self._granted,
                over_share=self._over_share,
                over_tokens=self._over_tokens,
                tokens=self._tokens,
                tokens_of_this_hour=self._hour.total(self._clock()),
            )


class _Hour:
    """Tokens by the minute; a minute is forgotten when the whole of it lies an hour back."""

    def __init__(self) -> None:
        self._minutes: dict[int, int] = {}
        self._latest = 0

    def add(self, now_s: float, tokens: int) -> None:
        minute = self._minute(now_s)
        self._minutes[minute] = self._minutes.get(minute, 0) + tokens

    def total(self, now_s: float) -> int:
        minute = self._minute(now_s)
        for old in [each for each in self._minutes if each < minute - _MINUTES]:
            del self._minutes[old]
        return sum(self._minutes.values())

    def _minute(self, now_s: float) -> int:
        # A clock that is set back stands still here until it has caught up, or what was spent would count for longer.
        self._latest = max(self._latest, int(now_s // _MINUTE_S))
        return self._latest


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
