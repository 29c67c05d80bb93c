"""Iterators whose every step runs under what was bound when they began."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Around = Callable[[], AbstractContextManager[object]]

_INSIDE: ContextVar[object | None] = ContextVar("semroute_inside", default=None)


@contextmanager
def inside(model: object) -> Iterator[None]:
    """Mark that a model's own lookup is done, so that what it calls of itself in the block looks nothing up."""
    token = _INSIDE.set(model)
    try:
        yield
    finally:
        _INSIDE.reset(token)


def is_inside(model: object) -> bool:
    """Say whether the running context is inside a call that this very model has looked up."""
    return _INSIDE.get() is model


def steps(around: Around, begin: Callable[[], Iterator[T]]) -> Iterator[T]:
    """Yield what `begin()` yields, each step taken within `around()`; a context variable is set per step only.

    Between two steps the consumer's own context holds: a token that a generator has set must be reset before it yields.
    """
    with around():
        iterator = begin()
    try:
        while True:
            with around():
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            with around():
                close()


async def asteps(around: Around, begin: Callable[[], AsyncIterator[T]]) -> AsyncIterator[T]:
    """Do what `steps` does for an asynchronous iterator."""
    with around():
        iterator = begin()
    try:
        while True:
            with around():
                try:
                    item = await anext(iterator)
                except StopAsyncIteration:
                    return
            yield item
    finally:
        close = getattr(iterator, "aclose", None)
        if close is not None:
            with around():
                await close()
