"""The file of a verifier: its coefficients, and the card that says where they come from; versioned JSON, checked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from semroute._files import replace_text
from semroute.errors import ConfigError
from semroute.guards._features import FEATURES

if TYPE_CHECKING:
    from semroute.entry import JSON
    from semroute.guards._verifier_forest import Forest

FORMAT: Final = 1
FILE_NAME: Final = "verifier.json"
"""What a verifier is called in a folder of its own."""
MAX_BYTES: Final = 4_000_000
"""A file that is larger is no verifier."""
_AGAIN: Final = "train it again (semroute verifier train) or install the version that made it"


@dataclass(frozen=True)
class Coefficients:
    """All that a probability is computed from."""

    embedder: str
    """Identity of the embedder whose similarities they were fitted on."""
    words: tuple[str, ...]
    """Common words of the language, the most frequent first."""
    intercept: float
    similarity: float
    """What one unit of similarity adds to the log-odds, beside the trees."""
    forest: Forest

    @cached_property
    def rarity(self) -> Mapping[str, float]:
        """How rare each common word is, from near 0 to 1: the logarithm of its rank."""
        most = math.log(len(self.words) + 2)
        return {word: math.log(rank + 2) / most for rank, word in enumerate(self.words)}

    @cached_property
    def digest(self) -> str:
        """A digest of the coefficients, as they are written."""
        return digest_of(self.as_json())

    def as_json(self) -> dict[str, JSON]:
        """Return the coefficients as JSON: columns by their names, infinite thresholds as null."""
        forest = self.forest
        return {
            "embedder": self.embedder,
            "features": list(FEATURES),
            "words": " ".join(self.words),
            "intercept": self.intercept,
            "similarity": self.similarity,
            "trees": {
                "depth": forest.depth,
                "features": forest.features.tolist(),
                "thresholds": [
                    [threshold if math.isfinite(threshold) else None for threshold in tree]
                    for tree in forest.thresholds.tolist()
                ],
                "values": forest.values.tolist(),
            },
        }

    @classmethod
    def of_json(cls, told: Mapping[str, JSON], source: str) -> Coefficients:
        """Read coefficients. Raises ConfigError for what is missing, of another kind, or unknown to this version."""

        try:
            return cls._of(told, source)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise ConfigError(f"{source} is damaged ({type(error).__name__}: {error}): {_AGAIN}") from error

    @classmethod
    def _of(cls, told: Any, source: str) -> Coefficients:
        import numpy as np

        from semroute.guards._verifier_forest import Forest

        unknown = [name for name in told["features"] if name not in FEATURES]
        if unknown:
            raise ConfigError(f"{source} needs features that this version does not know ({unknown[0]}): {_AGAIN}")
        columns = np.array([FEATURES.index(name) for name in told["features"]], np.intp)
        trees = told["trees"]
        n_leaves = 2 ** int(trees["depth"])
        places = np.array(trees["features"], np.intp).reshape(-1, n_leaves - 1)
        if places.size and not 0 <= places.min() <= places.max() < len(columns):
            raise ConfigError(f"{source} is damaged: its trees ask for features that it does not list")
        thresholds = [[math.inf if one is None else float(one) for one in tree] for tree in trees["thresholds"]]
        coefficients = cls(
            embedder=_text(told["embedder"]),
            words=tuple(_text(told["words"]).split()),
            intercept=float(told["intercept"]),
            similarity=float(told["similarity"]),
            forest=Forest(
                columns[places] if places.size else places,
                np.array(thresholds, np.float64).reshape(-1, n_leaves - 1),
                np.array(trees["values"], np.float64).reshape(-1, n_leaves),
            ),
        )
        if not (math.isfinite(coefficients.intercept) and math.isfinite(coefficients.similarity)):
            raise ConfigError(f"{source} is damaged: its intercept or slope is no number")
        return coefficients


def digest_of(told: Mapping[str, JSON]) -> str:
    """Return the digest of a JSON object in its one canonical form."""
    canonical = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return blake2b(canonical.encode(), digest_size=12).hexdigest()


def written(coefficients: Coefficients, card: Mapping[str, JSON]) -> str:
    """Return the file of a verifier: its format, the card with the digest of the coefficients, and those."""
    told = {
        "format": FORMAT,
        "card": {**card, "coefficients": coefficients.digest},
        "coefficients": coefficients.as_json(),
    }
    return json.dumps(told, separators=(",", ":"), ensure_ascii=True, allow_nan=False) + "\n"


def write(path: Path, text: str) -> None:
    """Write a file, which afterwards holds all of the text or what it held before. Raises ConfigError."""
    try:
        replace_text(path, text)
    except OSError as error:
        raise ConfigError(f"verifier {path} cannot be written: {error}") from error


def read(path: Path) -> tuple[Coefficients, Mapping[str, JSON]]:
    """Read coefficients and card. Raises ConfigError for a file that is missing, damaged, or of another version."""
    told = _object(path)
    version = told.get("format")
    if version != FORMAT:
        raise ConfigError(f"{path} has the format {version!r}, and this version reads format {FORMAT}: {_AGAIN}")
    card, body = told.get("card"), told.get("coefficients")
    if not isinstance(card, dict) or not isinstance(body, dict):
        raise ConfigError(f"{path} must hold a card and coefficients: {_AGAIN}")
    claimed, found = card.get("coefficients"), digest_of(body)
    if claimed != found:
        raise ConfigError(
            f"{path}: the card was written for coefficients {claimed}, and these are {found}: the file was changed "
            f"after it was fitted; {_AGAIN}"
        )
    return Coefficients.of_json(body, str(path)), card


def _object(path: Path) -> dict[str, JSON]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_BYTES} bytes, so it is no verifier")
        told = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as a verifier: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not the JSON of a verifier: {error}") from error
    if not isinstance(told, dict):
        raise ConfigError(f"{path} must hold a JSON object, not {type(told).__name__}")
    return told


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number")


def _text(value: JSON) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
