"""Files that are written whole or not at all, in folders that are made where they are missing."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from semroute.errors import ConfigError


def replace_text(path: Path, text: str) -> None:
    """Write a file, which afterwards holds all of the text or what it held before. Raises OSError."""
    with replacement(path) as fresh:
        fresh.write_text(text, encoding="utf-8")


@contextmanager
def replacement(path: Path, *, mode: int = 0o644) -> Iterator[Path]:
    """Yield a new file, which takes the place of a path when the block ends well, and vanishes when it does not.

    While it is written only its owner may read it; `mode` is what it has afterwards. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    fresh = Path(name)
    try:
        yield fresh
        with fresh.open("rb+") as file:
            os.fsync(file.fileno())
        fresh.chmod(mode)
        fresh.replace(path)
    except BaseException:  # an interrupt too: no half-written file stays behind
        fresh.unlink(missing_ok=True)
        raise


def check_place(path: Path) -> None:
    """Raise ConfigError where no file could be written at a path; said before the long work, and nothing is made."""
    if path.is_dir():
        raise ConfigError(f"{path} is a folder: name a file in it")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise ConfigError(f"{folder} is a file, and {path} needs a folder there: name another place")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ConfigError(f"nothing can be written in the folder {folder}: {error.strerror}") from error
