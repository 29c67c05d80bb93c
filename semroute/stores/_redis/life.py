"""What a client knows of a shard: its metadata, read once, and read again when the server says that it is out of date.

Everything here and in `_redis_operations` is a generator of commands that is sent their replies, and into which their
errors are thrown. So the synchronous and the asynchronous face run the same lines, and no line here waits.
"""

from __future__ import annotations

import dataclasses
import logging
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from semroute.errors import ConfigError, StoreError
from semroute.stores._redis import scripts
from semroute.stores._redis.errors import NoIndex
from semroute.stores._redis.index import FLAT, HNSW, IndexSpec, Names
from semroute.stores._redis.state import KEY_BYTES, VERSION, State, Steps, call, new_life, read_state

if TYPE_CHECKING:
    from collections.abc import Callable

    from semroute.stores._redis.lua import Script

_LOG: Final = logging.getLogger("semroute.stores")

_LIVES: Final = 3


class Life:
    """Opens a shard, remembers its state, and makes and changes its index."""

    def __init__(
        self,
        names: Names,
        *,
        place: str,
        digest_key: bytes | None,
        dtype: str | None,
        hnsw_from: int,
        clock: Callable[[], float],
    ) -> None:
        self.names = names
        self.place = place
        self.state: State | None = None
        self.last_epoch = 0
        self.restarts = 0
        """How often the shard turned out to be empty though it had been in use."""
        self.recreated_indexes = 0
        self._required_key = digest_key
        self._key = digest_key
        self._is_known = False
        self._dtype = dtype
        self.hnsw_from = hnsw_from
        self._clock = clock

    def forget(self) -> None:
        """Read the metadata again at the next use, expecting the digest key that is known."""
        self.state = None

    def close(self) -> None:
        """Begin the next use as a new client would."""
        self.state, self._key, self._is_known = None, self._required_key, False

    def current(self) -> Steps[State]:
        """Return what is known of the shard, reading it first if nothing is."""
        return (yield from self.open()) if self.state is None else self.state

    def run(self, script: Script, *arguments: bytes | str | int | float) -> Steps[Any]:
        """Run a script in the present life of the shard, reading the metadata again where a new one has begun."""
        for _ in range(_LIVES):
            state = self.state
            if state is None:
                state = yield from self.open()
            reply = yield from call(script, self.names.meta, state.life, *arguments)
            if reply != scripts.REOPEN:
                return reply
            self.forget()
        raise self.too_lively()

    def too_lively(self) -> StoreError:
        return StoreError(f"shard {self.names.shard} at {self.place} was emptied again and again meanwhile")

    @property
    def has_given_key(self) -> bool:
        return self._required_key is not None

    def check_fleet_key(self, key: bytes) -> None:
        """Raise ConfigError where the store was given another key than its fleet has."""
        if self._required_key not in (None, key):
            raise ConfigError(
                f"the store of shard {self.names.shard} at {self.place} was given another digest_key than its fleet"
                " has: give all of them the same"
            )

    def adopt_key(self, key: bytes) -> None:
        """Expect another key from now on: the shard has exchanged it for that of its fleet."""
        if self._key != key:
            self._key = key
            self.forget()

    def open(self) -> Steps[State]:
        """Read the metadata, or write it where there is none; see that search is there, and the index.

        Raises ConfigError for a server without search and for a shard of another release, key or precision.
        """
        found = yield ("HMGET", self.names.meta, *scripts.META_FIELDS)
        state = self._read(found)
        info = yield from self._index_info(state)
        if state is None:
            state = yield from self._create()
        if state.embedder is not None and info is None:
            yield from self._recreate(state)
        elif info is not None:
            self.spec(state).check(info)
        yield from self._look_at_policy()
        return self._keep(state)

    def refresh(self, *, takes_any_key: bool = False) -> Steps[State]:
        """Read the metadata again; raises StoreError where the digest key is another than before.

        With `takes_any_key` it is taken for what it is: another client, or another thread, may have exchanged the key
        of a shard that is not settled, and the caller compares it with that of a fleet.
        """
        found = yield ("HMGET", self.names.meta, *scripts.META_FIELDS)
        state = self._read(found, takes_any_key=takes_any_key)
        return (yield from self.open()) if state is None else self._keep(state)

    def claim(self, embedder: str, dimensions: int) -> Steps[State]:
        """Name the embedder of a shard that holds no vector yet, and make its index; another client may be quicker."""
        state = yield from self.current()
        algorithm = FLAT if self.hnsw_from else HNSW
        dtype = "float32" if self._dtype is None else self._dtype
        wanted = dataclasses.replace(state, embedder=embedder, dimensions=dimensions, dtype=dtype, algorithm=algorithm)
        # The index first: whoever reads that the shard has an embedder may rely on the index.
        yield self.spec(wanted)
        found = yield from call(scripts.CLAIM, self.names.meta, state.life, embedder, dimensions, dtype, algorithm)
        claimed = self._read(found)
        if claimed is None or claimed.embedder is None or self.spec(claimed) != self.spec(wanted):
            yield from self.drop(self.spec(wanted))
        return (yield from self.open()) if claimed is None else self._keep(claimed)

    def spec(self, state: State, algorithm: str | None = None) -> IndexSpec:
        """Return the index of a shard that holds vectors."""
        kind = algorithm or state.algorithm or FLAT
        dtype, dimensions = state.dtype or "float32", state.dimensions or 0
        name = self.names.index(state.life, kind, dtype, dimensions)
        return IndexSpec(name, f"{self.names.prefix}e:", kind, dimensions, dtype)

    def recreate_index(self) -> Steps[State]:
        """Make an index that was there and is gone, of what the metadata say now."""
        state = yield from self.refresh()
        if state.embedder is not None and (yield from self._index_info(state)) is None:
            yield from self._recreate(state)
        return state

    def drop_indexes(
        self,
        life: bytes,
        algorithm: bytes | None,
        building: bytes | None,
        dtype: bytes | None,
        dimensions: bytes | None,
    ) -> Steps[None]:
        """Drop the indexes of an earlier life, as its metadata named them; not what they have indexed."""
        for kind in (algorithm, building):
            if kind is not None and dtype is not None and dimensions is not None:
                name = self.names.index(life.decode(), kind.decode(), dtype.decode(), int(dimensions))
                with suppress(NoIndex):
                    yield ("FT.DROPINDEX", name)

    def drop(self, spec: IndexSpec) -> Steps[None]:
        """Drop an index, not what it has indexed."""
        with suppress(NoIndex):
            yield ("FT.DROPINDEX", spec.name)

    def _index_info(self, state: State | None) -> Steps[dict[Any, Any] | None]:
        """Describe the index, or return None; a server without search is noticed here in any case."""
        name = self.names.index("none", FLAT, "none", 0) if state is None else self.spec(state).name
        try:
            info: dict[Any, Any] = yield ("FT.INFO", name)
        except NoIndex:
            return None
        return info

    def _create(self) -> Steps[State]:
        key = secrets.token_bytes(KEY_BYTES) if self._key is None else self._key
        # Epochs go on after those of a shard that was lost, so that what was invalidated then stays so.
        epoch = self.last_epoch + 1 if self._is_known else 0
        uid = secrets.token_hex(8)
        is_new, found = yield from call(scripts.CREATE, self.names.meta, VERSION, key, new_life(), epoch, uid)
        state = self._read(found)
        if state is None:
            raise StoreError(f"the metadata of shard {self.names.shard} at {self.place} vanished as they were written")
        if is_new and self._is_known:
            self.restarts += 1
            _LOG.warning(
                "%s came back empty, as a server does that was emptied, or restarted without its data: the answers that"
                " it held are lost, and it is filled anew. Nothing that was invalidated comes back with it. To keep"
                " answers over a restart, let the server save them (appendonly yes)",
                self.place,
            )
        return state

    def _recreate(self, state: State) -> Steps[None]:
        yield self.spec(state)
        self.recreated_indexes += 1
        _LOG.warning("the index of shard %s at %s was gone: made anew", self.names.shard, self.place)

    def _look_at_policy(self) -> Steps[None]:
        try:
            said = yield ("INFO", "memory")
        except (StoreError, ConfigError):  # a user may be allowed to do all that a cache does, and not to ask this
            return
        memory = dict(line.split(":", 1) for line in _text(said).splitlines() if ":" in line)
        policy = memory.get("maxmemory_policy", "")
        if policy.startswith("allkeys") and memory.get("maxmemory") != "0":
            _LOG.warning(
                "%s may evict the store's own metadata (maxmemory-policy %s), and everything is lost with them:"
                " set it to volatile-%s",
                *(self.place, policy, policy.removeprefix("allkeys-")),
            )

    def _keep(self, state: State) -> State:
        self.state, self._key, self._is_known = state, state.key, True
        self.last_epoch = max(self.last_epoch, state.epoch)
        return state

    def _read(self, found: list[bytes | None], *, takes_any_key: bool = False) -> State | None:
        """Build the state from what was read; raises ConfigError where this store and the shard do not agree."""
        state = read_state(found, self.names, self.place)
        if state is not None:
            self._check_key(state.key, takes_any=takes_any_key)
            self._check_dtype(state.dtype)
        return state

    def _check_key(self, key: bytes, *, takes_any: bool) -> None:
        if self._required_key is not None and key != self._required_key:
            raise ConfigError(
                f"shard {self.names.shard} at {self.place} was made with another digest_key:"
                " give it that key, leave digest_key out, or name another shard (?shard=NAME)"
            )
        if self._key is not None and key != self._key and not takes_any:
            raise StoreError(
                f"shard {self.names.shard} at {self.place} was emptied and made anew with another digest key:"
                " close this store and open it again, or give all clients one digest_key"
            )

    def _check_dtype(self, dtype: str | None) -> None:
        if self._dtype is not None and dtype not in (None, self._dtype):
            raise ConfigError(
                f"shard {self.names.shard} at {self.place} keeps vectors as {dtype}, this store asks for {self._dtype}:"
                " leave dtype out, or empty the shard with `semroute invalidate --all`"
            )


def _text(said: bytes | str) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said
