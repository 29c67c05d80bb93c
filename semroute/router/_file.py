"""The file of a learned router: its heads, its tiers, and the card that says where they come from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from semroute._files import replace_text
from semroute.errors import ConfigError
from semroute.router import _heads
from semroute.router._heads import Heads
from semroute.router._tiers import TierPredictor

if TYPE_CHECKING:
    from semroute.entry import JSON

FORMAT: Final = "semroute router 1"
MAX_BYTES: Final = 4_000_000
"""A file that is larger is no router."""


@dataclass(frozen=True, slots=True, eq=False)
class RouterFile:
    """What a router has learnt; either half may be missing, and the rules stand in for it."""

    heads: Heads | None
    """Intent, complexity and staleness."""
    tiers: TierPredictor | None
    """How likely each tier is good enough."""
    gains: Sequence[float] = ()
    """How much likelier the strongest tier is than the weakest on typical prompts, in ascending order."""
    card: str = ""

    def __post_init__(self) -> None:
        if len(self.embedders) != 1:
            raise ConfigError(f"a router must be fitted on the vectors of one embedder, not {sorted(self.embedders)}")

    @property
    def embedders(self) -> frozenset[str]:
        return frozenset(half.embedder for half in (self.heads, self.tiers) if half is not None)

    @property
    def embedder(self) -> str:
        """Identity of the embedder whose vectors it was fitted on."""
        return next(iter(self.embedders))

    @property
    def is_whole(self) -> bool:
        return self.heads is not None and self.tiers is not None

    def completed(self, other: RouterFile) -> RouterFile:
        """Return the file with the half of another that it lacks."""
        heads = other.heads if self.heads is None else self.heads
        tiers, gains = (other.tiers, other.gains) if self.tiers is None else (self.tiers, self.gains)
        return RouterFile(heads, tiers, gains, self.card)

    def text(self) -> str:
        """Return the file's content."""
        told: dict[str, JSON] = {
            "format": FORMAT,
            "heads": None if self.heads is None else _heads.written(self.heads),
            "tiers": None if self.tiers is None else self.tiers.as_json(),
            "gains": list(self.gains),
            "card": self.card,
        }
        return json.dumps(told, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"

    @property
    def digest(self) -> str:
        return blake2b(self.text().encode(), digest_size=6).hexdigest()

    def write(self, path: Path) -> None:
        """Write the file in one step; raises ConfigError."""
        replace_text(path, self.text())

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file; raises ConfigError for one that cannot be read, is damaged, or of another version."""
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ConfigError(f"{path} is no router: it has more than {MAX_BYTES:,} bytes")
            told = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"the router {path} cannot be read: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path} is no router: {error}") from error
        return cls.of_json(told, str(path))

    @classmethod
    def of_json(cls, told: object, source: str) -> Self:
        if not isinstance(told, Mapping) or told.get("format") != FORMAT:
            raise ConfigError(f"{source} is no router of this version ({FORMAT}): train one (semroute router train)")
        heads, tiers, gains = told.get("heads"), told.get("tiers"), told.get("gains", [])
        if not isinstance(gains, list) or not all(isinstance(gain, int | float) for gain in gains):
            raise ConfigError(f"{source} is damaged: its gains are no numbers")
        return cls(
            None if heads is None else _heads.load(heads, embedder=None, source=source),
            None if tiers is None else TierPredictor.of_json(tiers, source),
            sorted(gains),
            str(told.get("card", "")),
        )
