"""What every command shares: one JSON object or a readable page on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from semroute._files import check_place
from semroute.errors import ConfigError, SemrouteError

T = TypeVar("T")

_FILE_WIDTH = 100

StoreOption = Annotated[
    list[str] | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="Where answers are kept: sqlite:///PATH, a path, redis://HOST:6379 or memory://; "
        "once for each shard of a ring.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


class UsageError(SemrouteError):
    """The command was called wrongly, or a file that it was given is wrong: exit status 2."""


def there(path: Path) -> Path:
    """Return the path of a file that a command reads; raises UsageError where there is none."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a file")
    if not path.exists():
        raise UsageError(f"there is no file {path}")
    return path


def check_out(path: Path, option: str = "--out: ") -> None:
    """Raise UsageError where nothing could be written at a path, before the long work; folders may be missing."""
    try:
        check_place(path)
    except ConfigError as error:
        raise UsageError(f"{option}{error}") from error


def page() -> Console:
    """Return the console that results are printed on: stdout, 100 columns wide where that is no terminal."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_FILE_WIDTH)


def side() -> Console:
    """Return the console for progress and errors: stderr."""
    return Console(stderr=True, highlight=False)


def print_json(result: Mapping[str, object]) -> None:
    """Print the one JSON object of a command."""
    typer.echo(json.dumps(result, ensure_ascii=False, allow_nan=False))


def progress(items: Iterable[T], what: str, total: int) -> Iterator[T]:
    """Yield the items, with a progress bar on stderr where that is a terminal."""
    console = side()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        for item in items:
            yield item
            bar.advance(task)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show a spinner on stderr while the block runs, where that is a terminal."""
    console = side()
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield
