"""Between replies of Redis and our types: what an entry, an alias and a vector look like in a hash."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from semroute.codec import decode_answer, encode_answer, read_json
from semroute.entry import Address, Alias, Entry, Found
from semroute.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from semroute.entry import FloatVector

LIFE_CHARACTERS: Final = 8
DTYPES: Final[dict[str, np.dtype[np.float16 | np.float32]]] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}
OVERHEAD_BYTES: Final = 2_300
"""What an entry costs beside its texts and vector: keys, fields, books and the index's own records."""
ALIAS_OVERHEAD_BYTES: Final = 700


@dataclass(frozen=True, slots=True)
class Row:
    """An entry as it is written: the kind of its key, what the books say of it, and the fields of its hash."""

    kind: str
    book: str
    size_bytes: int
    fields: tuple[bytes | str | float, ...]


def encode_text(text: str) -> bytes:
    """Return a text as bytes, lone surrogates too."""
    return text.encode("utf-8", "surrogatepass")


def decode_text(value: bytes) -> str:
    """Undo `encode_text`; raises ValueError."""
    return value.decode("utf-8", "surrogatepass")


def encode_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def encode_vector(vector: FloatVector, dtype: str) -> bytes:
    """Return a vector as bytes; raises StoreError for one that no search could compare."""
    if vector.ndim != 1 or not vector.size or not np.isfinite(vector).all():
        raise StoreError(f"a vector must be one-dimensional and finite, this one has shape {vector.shape}")
    return np.ascontiguousarray(vector, dtype=DTYPES[dtype]).tobytes()


def decode_vector(value: bytes | None, dtype: str | None, dimensions: int | None) -> FloatVector | None:
    """Undo `encode_vector`; raises StoreError for a damaged vector."""
    if value is None:
        return None
    if dtype is None or dimensions is None or len(value) != DTYPES[dtype].itemsize * dimensions:
        raise StoreError(f"a stored vector has {len(value)} bytes, which is not {dimensions} dimensions of {dtype}")
    return np.frombuffer(value, DTYPES[dtype]).astype(np.float32)


def entry_row(entry: Entry, *, life: str, dtype: str) -> Row:
    """Return an entry as it is written in one life of a shard; raises StoreError when it cannot be stored."""
    query, answer = encode_text(entry.query), encode_text(encode_answer(entry.answer))
    labels = sorted(entry.labels)
    place = entry.address
    head = encode_text(encode_json([place.shard, place.partition, entry.created_at, entry.expires_at, labels]))
    fields: list[bytes | str | float] = ["x", entry.expires_at, "p", life + entry.address.partition]
    fields += ["q", query, "d", head + b"\n" + answer]
    size = len(query) + len(answer) + len(head) + OVERHEAD_BYTES
    if entry.vector is not None:
        vector = encode_vector(entry.vector, dtype)
        fields += ["v", vector]
        size += 2 * len(vector)  # the hash and the index each keep it
    book = encode_json([size, entry.created_at, entry.address.partition, labels])
    return Row("x:" if entry.vector is None else "e:", book, size, tuple(fields))


def alias_fields(alias: Alias) -> tuple[bytes, bytes]:
    """Return an alias's query, and the rest of it as JSON."""
    rest = [alias.address.shard, alias.address.partition, alias.similarity, alias.p_reusable, alias.policy]
    return encode_text(alias.query), encode_text(encode_json([*rest, alias.created_at]))


def read_found(reply: Sequence[Any], exact: str) -> Found:
    """Build what a lookup found from the reply of the script; raises StoreError when it is damaged."""
    if len(reply) == 1:
        return Found(None, None, int(reply[0]))
    if len(reply) == 2:
        raise StoreError(f"the stored entry {exact!r} is damaged")
    try:
        if len(reply) == 4:
            epoch, put, query, document = reply
            return Found(_read_served(exact, put, query, document), None, int(epoch))
        epoch, put, query, document, target, asked, rest = reply
        id = target.decode()
        return Found(_read_served(id, put, query, document), _read_alias(exact, id, asked, rest), int(epoch))
    except (ValueError, TypeError, AttributeError) as error:
        raise StoreError(f"the stored entry {exact!r} is damaged: {error}") from error


def _read_served(id: str, put: bytes, query: bytes, document: bytes) -> Entry:
    head, _, answer = document.partition(b"\n")
    shard, partition, created_at, expires_at, _ = read_json(head.decode("utf-8", "surrogatepass"))
    return Entry(
        address=Address(shard, partition, id),
        query=query.decode("utf-8", "surrogatepass"),
        answer=decode_answer(answer.decode()),
        created_at=float(created_at),
        expires_at=float(expires_at),
        epoch=int(put.rpartition(b":")[2]),
    )


def _read_alias(exact: str, entry_id: str, query: bytes, rest: bytes) -> Alias:
    shard, partition, similarity, p_reusable, policy, created_at = read_json(decode_text(rest))
    return Alias(
        address=Address(shard, partition, exact),
        entry_id=entry_id,
        query=decode_text(query),
        similarity=similarity,
        p_reusable=p_reusable,
        policy=policy,
        created_at=created_at,
    )


def read_whole(values: Sequence[Any], *, embedder: str | None, dtype: str | None, dimensions: int | None) -> Entry:
    """Build an entry with vector and labels from a row of a script; raises StoreError when it is damaged."""
    id, put, _, query, document, blob = values
    try:
        served = _read_served(id.decode(), put, query, document)
        labels = json.loads(decode_text(document.partition(b"\n")[0]))[4]
        vector = decode_vector(blob, dtype, dimensions)
        return Entry(
            address=served.address,
            query=served.query,
            answer=served.answer,
            created_at=served.created_at,
            expires_at=served.expires_at,
            labels=frozenset(labels),
            epoch=served.epoch,
            vector=vector,
            embedder=None if vector is None else embedder,
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise StoreError(f"the stored entry {id!r} is damaged: {error}") from error
