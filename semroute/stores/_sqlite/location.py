"""Where an embedded store lives: a file, or this process's memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import platformdirs

from semroute.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Location:
    """The database file, or None for a private database in memory."""

    path: Path | None

    @property
    def is_memory(self) -> bool:
        return self.path is None

    def __str__(self) -> str:
        return "memory://" if self.path is None else f"sqlite:///{self.path}"


def parse_location(target: str | Path | None) -> Location:
    """Read a store URL or a path; None is the user's own data folder.

    `sqlite:///a.db` is relative to the working directory of this moment, `sqlite:////a.db` is absolute.
    Raises ConfigError for any other scheme and for a URL without a path.
    """
    if target is None:
        return Location(Path(platformdirs.user_data_dir("semroute", appauthor=False)) / "answers.db")
    if isinstance(target, Path):
        return Location(_absolute(target))
    if target == "memory://":
        return Location(None)
    if target.startswith("sqlite:///") and len(target) > len("sqlite:///"):
        return Location(_absolute(Path(unquote(target.removeprefix("sqlite:///")))))
    if "://" in target or not target:
        raise ConfigError(
            f"store URL {target!r} is not one of an embedded store: "
            "use 'sqlite:///relative.db', 'sqlite:////absolute/path.db', 'memory://' or a path"
        )
    return Location(_absolute(Path(target)))


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()
