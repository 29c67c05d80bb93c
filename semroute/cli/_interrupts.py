"""Ctrl-C during a command: one line on stderr says what is kept and how to go on, and the exit status is 130."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

STATUS: Final = 130
"""Of a command that was stopped: 128 and the number of the signal."""


class Interrupted(Exception):
    """A command was stopped by Ctrl-C; the message says what is kept, and how to go on."""


@contextmanager
def if_interrupted(said: str) -> Iterator[None]:
    """Say what is kept where the block, or the function that this decorates, is stopped by Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(said) from None
