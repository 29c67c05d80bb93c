"""A shard's metadata at one moment, and how operations are written: as generators of commands.

A generator of an operation is sent the replies to its commands, and their errors are thrown into it. So the
synchronous and the asynchronous face run the same lines, and no line of an operation waits.
"""

from __future__ import annotations

import secrets
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from semroute.errors import ConfigError, StoreError
from semroute.stores._redis.errors import NoScript
from semroute.stores._redis.index import IndexSpec
from semroute.stores._redis.rows import LIFE_CHARACTERS

if TYPE_CHECKING:
    from semroute.stores._redis.index import Names
    from semroute.stores._redis.lua import Script

T = TypeVar("T")
Parts: TypeAlias = tuple[bytes | str | int | float, ...]
Command: TypeAlias = Parts | IndexSpec
"""A command of Redis, or an index that is to be created unless it is there."""
Steps: TypeAlias = Generator[Command, Any, T]

VERSION: Final = 1
KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class State:
    """A shard's metadata at one moment. An embedder is named once in a life, all else but `epoch` changes with it."""

    key: bytes
    life: str
    epoch: int
    embedder: str | None
    dimensions: int | None
    dtype: str | None
    algorithm: str | None
    building: str | None
    uid: str
    """Made up when the shard was, so that one server under two host names is known to be one."""


def call(script: Script, meta: str, *arguments: bytes | str | int | float) -> Steps[Any]:
    """Run a script by its digest, or by its text where the server does not know it yet."""
    try:
        return (yield ("EVALSHA", script.sha, 1, meta, *arguments))
    except NoScript:
        return (yield ("EVAL", script.text, 1, meta, *arguments))


def new_life() -> str:
    """Make up the name of a life of a shard."""
    return secrets.token_hex(LIFE_CHARACTERS // 2)


def read_state(found: list[bytes | None], names: Names, place: str) -> State | None:
    """Build the state from `META_FIELDS`, None where there is none yet.

    Raises StoreError for damaged metadata, ConfigError for those of another release.
    """
    version, key, life, epoch, embedder, dimensions, dtype, algorithm, building, uid = found
    if life is None and key is None and version is None:
        return None
    try:
        if version is None or key is None or life is None or epoch is None or len(key) != KEY_BYTES:
            raise ValueError("a field is missing")
        schema = int(version)
        state = State(
            key=key,
            life=life.decode(),
            epoch=int(epoch),
            embedder=_text(embedder),
            dimensions=None if dimensions is None else int(dimensions),
            dtype=_text(dtype),
            algorithm=_text(algorithm),
            building=_text(building),
            uid=_text(uid) or "",
        )
    except ValueError as error:
        raise StoreError(
            f"{names.meta} at {place} is damaged ({error}): delete that key, and the shard starts anew"
        ) from error
    if schema != VERSION:
        raise ConfigError(
            f"shard {names.shard} at {place} has schema version {schema}, this release reads {VERSION}:"
            " upgrade semroute, or name another shard (?shard=NAME)"
        )
    return state


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()
