"""`semroute export` and `semroute import`: all entries of a store as a file of JSON lines, and back into any store."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Final, cast

import numpy as np
import typer

from semroute._files import replacement
from semroute.cli._interrupts import if_interrupted
from semroute.cli._output import JsonOption, StoreOption, UsageError, check_out, page, print_json, progress, there
from semroute.cli._stores import check_kind, opened
from semroute.codec import decode_answer, encode_answer
from semroute.entry import Address, Entry
from semroute.errors import ConfigError, StoreError
from semroute.stores import Epochs, EpochState, Sizing
from semroute.stores.sharded import ShardedStore

if TYPE_CHECKING:
    from semroute.stores import Store

_FORMAT: Final = "semroute-entries"
_VERSION: Final = 1
_KEY_BYTES: Final = 32
_NOTHING_IS_LATER: Final = 2**53
_FLOAT32: Final = np.dtype("<f4")

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="JSON lines; compressed where it ends in .gz.")]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the entries of a file."""

    imported: int = 0
    already: int = 0
    """There already, the same or a later answer."""
    invalidated: int = 0
    """Invalidated in this store since they were exported."""
    expired: int = 0


def export_command(file: FileArgument, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Write all entries of a store, of one or many shards, to a file that only its owner may read.

    The file holds questions, answers and vectors, and the key that the store's digests are made with: keep it as safe
    as the store. Aliases are left out; they come back with the next hit by meaning.
    """
    check_out(file, "")
    kept = f"{file} was not written, or is what it was before: the same call begins anew"
    with if_interrupted(kept), opened(store) as cache:
        count = _export(cache.store, file)
    if as_json:
        print_json({"exported": count, "file": str(file)})
    else:
        page().print(f"{count:,} {'entry' if count == 1 else 'entries'} exported to {file}", soft_wrap=True)


def import_command(
    file: FileArgument,
    stores: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put the entries of an export into a store, of one or many shards; it may be repeated.

    The store must be new, or have the same digest key, as one has that was filled by the same export.
    """
    from semroute.cache import SemanticCache

    there(file)
    check_kind(stores)
    kept = "what was imported up to then is kept: the same call passes over it and goes on"
    with if_interrupted(kept), SemanticCache(*([] if stores is None else stores), write="now") as cache:
        result = _import(cache.store, file)
    if as_json:
        print_json(asdict(result))
    else:
        page().print(
            f"{result.imported:,} imported, {result.already:,} there already, "
            f"{result.invalidated:,} invalidated since, {result.expired:,} expired"
        )


def _export(store: Store, file: Path) -> int:
    key = store.open()
    total = store.size().entries if isinstance(store, Sizing) else 0
    epoch = max(shard.epochs(after=_NOTHING_IS_LATER).epoch for shard in _shards(store))
    header = {"format": _FORMAT, "v": _VERSION, "digest_key": key.hex(), "epoch": epoch, "entries": total}
    count = 0
    try:
        with replacement(file, mode=0o600) as fresh, _opened_as(fresh, file, "w") as lines:
            lines.write(json.dumps(header) + "\n")
            for entry in progress(store.scan(), "exporting", total):
                lines.write(json.dumps(_row(entry), separators=(",", ":")) + "\n")
                count += 1
    except OSError as error:
        raise UsageError(f"{file} could not be written: {error}") from error
    return count


def _import(store: Store, file: Path) -> Imported:
    counts = dict.fromkeys(("imported", "already", "invalidated", "expired"), 0)
    with closing(_rows(file)) as rows:
        header = next(rows)
        _take_key(store, header, file)
        total = header.get("entries")
        for row in progress(rows, "importing", total if isinstance(total, int) else 0):
            counts[_put(store, _entry(row, file))] += 1
    return Imported(**counts)


def _put(store: Store, entry: Entry) -> str:
    now = time.time()
    if entry.expires_at <= now:
        return "expired"
    known = store.get(entry.address, now=now)
    if known.entry is not None and known.alias is None and known.entry.created_at >= entry.created_at:
        return "already"
    return "imported" if store.put(entry) else "invalidated"


def _take_key(store: Store, header: dict[str, Any], file: Path) -> None:
    """Give a new store the key of the export; raises ConfigError for one that has another."""
    if header.get("format") != _FORMAT:
        raise UsageError(f"{file} is no export of semroute: its first line does not say so")
    if header.get("v") != _VERSION:
        raise UsageError(f"{file} has format version {header.get('v')!r}, this release reads {_VERSION}")
    try:
        key, epoch = bytes.fromhex(header["digest_key"]), int(header["epoch"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{file}, line 1 is damaged: {error}") from error
    if len(key) != _KEY_BYTES:
        raise UsageError(f"{file}, line 1 is damaged: its digest key has {len(key)} bytes")
    shards = _shards(store)
    if not any(shard.epochs().is_settled for shard in shards):  # a new one; of a fleet the others take it over
        shards[0].adopt(EpochState(key, is_settled=True, epoch=max(epoch, 1)))
    if store.open() != key:
        raise ConfigError(
            f"the store was made with another digest key than {file}, so that nothing of it could be found again: "
            "import into a new store"
        )


def _shards(store: Store) -> list[Epochs]:
    """Return the stores that a store is made of, or itself; raises ConfigError for one that cannot be told a key."""
    shards = list(store.stores.values()) if isinstance(store, ShardedStore) else [store]
    for shard in shards:
        if not isinstance(shard, Epochs):
            raise ConfigError(f"{shard!r} cannot take over a digest key: its entries can be neither moved in nor out")
    return cast("list[Epochs]", shards)


def _rows(file: Path) -> Generator[dict[str, Any], None, None]:
    """Read the objects of a file, the header first; raises UsageError that names the line that is wrong."""
    read = 0
    try:
        with _opened_as(file, file, "r") as lines:
            for line in lines:
                read += 1
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError("it is no object")
                yield row
    except (ValueError, EOFError, OSError) as error:
        raise UsageError(f"{file}, line {max(read, 1)}: {error}") from error
    if not read:
        raise UsageError(f"{file} is empty")


def _row(entry: Entry) -> dict[str, object]:
    vector = None if entry.vector is None else base64.b64encode(entry.vector.astype(_FLOAT32).tobytes()).decode()
    return {
        "shard": entry.address.shard,
        "partition": entry.address.partition,
        "exact": entry.address.exact,
        "query": entry.query,
        "answer": encode_answer(entry.answer),
        "created_at": entry.created_at,
        "expires_at": entry.expires_at,
        "labels": sorted(entry.labels),
        "epoch": entry.epoch,
        "vector": vector,
        "embedder": entry.embedder,
    }


def _entry(row: dict[str, Any], file: Path) -> Entry:
    """Undo `_row`; raises UsageError."""
    try:
        blob = row["vector"]
        vector = None if blob is None else np.frombuffer(base64.b64decode(blob, validate=True), _FLOAT32)
        return Entry(
            address=Address(str(row["shard"]), str(row["partition"]), str(row["exact"])),
            query=str(row["query"]),
            answer=decode_answer(row["answer"]),
            created_at=float(row["created_at"]),
            expires_at=float(row["expires_at"]),
            labels=frozenset(map(str, row["labels"])),
            epoch=int(row["epoch"]),
            vector=None if vector is None else vector.astype(np.float32),
            embedder=None if vector is None else str(row["embedder"]),
        )
    except (KeyError, TypeError, ValueError, StoreError, binascii.Error) as error:
        raise UsageError(f"{file} holds a damaged entry ({row.get('exact')!r}): {error!r}") from error


def _opened_as(path: Path, named: Path, mode: str) -> IO[str]:
    """Open a text file, compressed where its name says so."""
    if named.suffix == ".gz":
        return cast("IO[str]", gzip.open(path, f"{mode}t", encoding="utf-8"))
    return cast("IO[str]", path.open(mode, encoding="utf-8"))
