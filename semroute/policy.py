"""The policy: the numbers that the gate decides by, what they promise, and the parts that they were measured with."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Final, Literal, Self, TypeAlias

from semroute.errors import ConfigError

TunedStrategy: TypeAlias = Literal["aggressive", "standard"]
"""The cache strategies that look anything up at all; `bypass` has no threshold."""

_NAMES: Final = frozenset(
    {"version", "verified_requires_guards", "cells", "stricter", "embedder", "verifier", "promise"}
)
_STRATEGIES: Final = ("aggressive", "standard")


@dataclass(frozen=True, slots=True)
class Cell:
    """What a semantic hit needs in one cell of the router's decisions: a strategy, and whether the router is sure."""

    strategy: TunedStrategy
    is_sure: bool
    """Whether the decision's confidence reaches the policy's `min_confidence`."""
    threshold: float
    """The least similarity."""
    min_p_reusable: float | None = None
    """The least P(reusable) of the learned verifier; None where none stood behind the gate."""
    requires_guards: bool = True
    """Whether the lexical guards must pass."""

    def __post_init__(self) -> None:
        if self.strategy not in _STRATEGIES:
            raise ConfigError(f"strategy of a cell must be one of {', '.join(_STRATEGIES)}, not {self.strategy!r}")
        for name in ("is_sure", "requires_guards"):
            check_flag(name, getattr(self, name))
        check_fraction("threshold", self.threshold)
        if self.min_p_reusable is not None:
            check_fraction("min_p_reusable", self.min_p_reusable)


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the sequence that a policy was chosen from, with the shares of all requests measured there."""

    cells: tuple[Cell, ...]
    hit_rate: float
    error_rate: float

    def __post_init__(self) -> None:
        check_cells(self.cells)
        check_fraction("hit_rate", self.hit_rate)
        check_fraction("error_rate", self.error_rate)


@dataclass(frozen=True, slots=True)
class Promise:
    """What a tuned policy promises, and what that rests on; see `semroute.tuning.bounds` for the statistics.

    The error rate is wrong hits / all requests.
    """

    max_error: float
    confidence: float
    """How often the promise holds: for the rate behind the pairs and for the rate among `requests`, both at once."""
    error_rate: float
    """Measured on the pairs that the thresholds were tested on."""
    hit_rate: float
    """Hits / all requests, measured on the same pairs: what to expect."""
    n: int
    """How many pairs the thresholds were tested on."""
    requests: int
    """Among how many fresh requests the realised error rate stays within `max_error`."""
    method: str

    def __post_init__(self) -> None:
        for name in ("max_error", "confidence", "error_rate", "hit_rate"):
            check_fraction(name, getattr(self, name))
        for name in ("n", "requests"):
            check_count(name, getattr(self, name))
        check_text("method", self.method)


@dataclass(frozen=True, slots=True)
class Policy:
    """The numbers of the gate; all are fractions in [0, 1], the thresholds on the scale of similarity.

    `version` names where the numbers come from; "default" is the built-in policy. A tuned policy has `cells`, and
    then the numbers outside of them hold only where there is no cell. Raises ConfigError for numbers that are out
    of range or contradict one another.
    """

    version: str = "default"
    threshold: float = 0.88
    """Needed where the lexical guards stand behind the gate and no learned verifier; evals/README.md says why."""
    verified_threshold: float = 0.75
    """Needed where a learned verifier looks at every candidate; evals/verifier.md has what the two numbers bring."""
    strict_threshold: float = 0.95
    """Needed when the router is unsure or has failed."""
    min_p_reusable: float = 0.83
    """The least P(reusable) of the learned verifier."""
    strict_p_reusable: float = 0.95
    """The same when the router is unsure or has failed."""
    verified_requires_guards: bool = False
    """Whether the lexical guards must all pass where a learned verifier looks: it has vetoes of its own, which are
    theirs where two texts are close. Without a verifier they always must."""
    aggressive_step: float = 0.03
    """How much the strategy `aggressive` lowers a threshold."""
    floor: float = 0.72
    """No threshold is lowered below it."""
    min_confidence: float = 0.80
    """A decision with less confidence is treated as unsure."""
    cells: tuple[Cell, ...] = ()
    """Tuned needs, one for each cell that had data."""
    stricter: tuple[Point, ...] = ()
    """The stricter points of the sequence that `cells` was chosen from, next one first: where to go when it drifts."""
    embedder: str | None = None
    """Identity of the embedder that the cells were tuned with; None for a policy of any."""
    verifier: str | None = None
    """Digest of the verifier that the cells were tuned with; None for a policy of any, or of none."""
    promise: Promise | None = None

    @classmethod
    def fixed(cls, threshold: float) -> Self:
        """Return the policy of one threshold; where the router is unsure it stays at least as strict as the default."""
        default = cls()
        return cls(
            version=f"threshold {threshold:g}",
            threshold=threshold,
            verified_threshold=threshold,
            strict_threshold=max(threshold, default.strict_threshold),
            floor=min(threshold, default.floor),
        )

    def __post_init__(self) -> None:
        check_text("version", self.version)
        check_flag("verified_requires_guards", self.verified_requires_guards)
        for field in fields(self):
            if field.type == "float":
                check_fraction(field.name, getattr(self, field.name))
        for name in ("embedder", "verifier"):
            if getattr(self, name) is not None:
                check_text(name, getattr(self, name))
        for name in ("threshold", "verified_threshold"):
            value: float = getattr(self, name)
            if not self.floor <= value <= self.strict_threshold:
                raise ConfigError(
                    f"{name} must lie between floor ({self.floor:g}) and strict_threshold "
                    f"({self.strict_threshold:g}), not {value!r}"
                )
        if self.min_p_reusable > self.strict_p_reusable:
            raise ConfigError(
                f"min_p_reusable ({self.min_p_reusable!r}) must not be over strict_p_reusable "
                f"({self.strict_p_reusable!r})"
            )
        check_cells(self.cells)

    def cell(self, strategy: TunedStrategy, *, is_sure: bool) -> Cell | None:
        """Return the tuned needs of a cell, or None where it had no data."""
        return next((cell for cell in self.cells if (cell.strategy, cell.is_sure) == (strategy, is_sure)), None)

    def tightened(self) -> Self:
        """Return the policy at the next stricter point of its sequence; at the end of it, itself."""
        if not self.stricter:
            return self
        name, _, steps = self.version.rpartition(" tightened ")
        version = f"{name} tightened {int(steps) + 1}" if name and steps.isdigit() else f"{self.version} tightened 1"
        return replace(self, version=version, cells=self.stricter[0].cells, stricter=self.stricter[1:])

    def _repr_html_(self) -> str:
        from semroute.policy_page import policy_page

        return policy_page(self)


def check_cells(cells: tuple[Cell, ...]) -> None:
    """Raise ConfigError where two cells are about the same requests."""
    named = [(cell.strategy, cell.is_sure) for cell in cells]
    if len(set(named)) < len(named):
        raise ConfigError(f"cells name a strategy and its sureness twice: {named}")


def check_fraction(name: str, value: object) -> None:
    """Raise ConfigError for anything but a number in [0, 1]."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # A comparison with NaN is false, so NaN is refused too.
    if not (is_number and 0.0 <= value <= 1.0):  # type: ignore[operator]  # narrowed by is_number
        raise ConfigError(f"{name} must be a number in [0, 1], not {value!r}")


def check_count(name: str, value: object) -> None:
    """Raise ConfigError for anything but a whole number of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} must be a whole number of at least 1, not {value!r}")


def check_flag(name: str, value: object) -> None:
    """Raise ConfigError for anything but true or false."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be true or false, not {value!r}")


def check_text(name: str, value: object) -> None:
    """Raise ConfigError for anything but a text that says something."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{name} must be a text that is not blank, not {value!r}")
