"""One shard of a sharded store: what is asked of it, what comes of it, and how it is doing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeAlias, TypeVar

from semroute.errors import ConfigError
from semroute.stores import Epochs, ShardHealth, Store

if TYPE_CHECKING:
    from semroute.breaker import Breaker

_USUAL_NAME: Final = "s00"
"""What a Redis server's only shard is called in its keys."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class ShardStore(Store, Epochs, Protocol):
    """What a store must be to be a shard."""


@dataclass(frozen=True, slots=True)
class Deed(Generic[T_co]):
    """Something that can be asked of a shard's store, in both of its faces."""

    act: Callable[[ShardStore], T_co]
    aact: Callable[[ShardStore], Awaitable[T_co]]
    has_deadline: bool = True
    """Whether the fleet's deadline holds for it; removing a great many entries may take its time."""


@dataclass(frozen=True, slots=True)
class Call:
    """A deed asked of one shard."""

    shard: str
    deed: Deed[Any]
    is_forced: bool = False
    """Whether the shard is asked even while its breaker is open."""


@dataclass(frozen=True, slots=True)
class Done:
    """The shard answered."""

    value: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The shard did not answer, or was not asked."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The shard answered that it must not be asked so."""

    error: ConfigError


Outcome: TypeAlias = Done | Failed | Refused


class Shard:
    """A store with a name, a breaker, and a note of whether it may have missed invalidations.

    A shard is current from the moment that it has taken over what the others remember until it fails in any way: what
    fails may come back with old contents.
    """

    def __init__(self, name: str, store: ShardStore, breaker: Breaker, deadline_s: float | None) -> None:
        self.name = name
        self.store = store
        self.is_patchy = False
        self.calls = 0
        self.failures = 0
        self._breaker = breaker
        self._deadline_s = deadline_s
        self._losses = 0
        self._current_as_of = -1

    def __repr__(self) -> str:
        current = "current" if self.is_current else "not current"
        return f"<Shard {self.name} {self._breaker.state}, {current}, {self.failures} of {self.calls} calls failed>"

    @property
    def wished_name(self) -> str | None:
        """The name that its store was given for it, where that says more than the usual one."""
        wished = getattr(self.store, "shard", None)
        return wished if isinstance(wished, str) and wished != _USUAL_NAME else None

    def rename(self, name: str) -> None:
        self.name = name
        self._breaker.part = name

    @property
    def is_current(self) -> bool:
        return self._current_as_of == self._losses

    @property
    def losses(self) -> int:
        """How often it was lost sight of: to be noted before it is caught up, and given to `caught_up`."""
        return self._losses

    @property
    def reason(self) -> str:
        """The last failure, for a person."""
        return self._breaker.reason

    def caught_up(self, as_of: int) -> None:
        """Note that it has every invalidation, unless it was lost sight of again meanwhile."""
        self._current_as_of = as_of

    def lose(self) -> None:
        """Note that it may have missed invalidations."""
        self._losses += 1

    def refusal(self, call: Call) -> Failed | None:
        """Return why it is not to be asked now; None where it is."""
        if not call.is_forced and not self._breaker.allows():
            return Failed(f"left alone after failures: {self._breaker.reason}")
        self.calls += 1
        return None

    def deadline_s(self, call: Call) -> float | None:
        return self._deadline_s if call.deed.has_deadline else None

    def answered(self, call: Call, value: object, took_s: float) -> Done:
        """Take an answer; one that came late counts against the shard, and is as good as any."""
        deadline_s = self.deadline_s(call)
        if deadline_s is not None and took_s > deadline_s:
            self.failures += 1
            self._breaker.failed(f"answered after {took_s:.3g} s, later than {deadline_s:g} s")
        else:
            self._breaker.succeeded()
        return Done(value)

    def failed(self, error: Exception) -> Failed | Refused:
        """Take an error: what is wrong with the question is no fault of the shard."""
        if isinstance(error, ConfigError):
            self._breaker.succeeded()
            return Refused(error)
        reason = str(error)
        return self.broke(f"{type(error).__name__}: {reason}" if reason else type(error).__name__)

    def broke(self, reason: str) -> Failed:
        """Count a failure."""
        self.failures += 1
        self.lose()
        self._breaker.failed(reason)
        return Failed(reason)

    def health(self, share: float) -> ShardHealth:
        return ShardHealth(
            name=self.name,
            share=share,
            state=self._breaker.state,
            reason=self._breaker.reason,
            is_current=self.is_current,
            is_patchy=self.is_patchy,
            calls=self.calls,
            failures=self.failures,
        )
