"""Between rows and our types: what an entry, an alias and a vector look like in an embedded store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from semroute.codec import decode_answer, encode_answer
from semroute.entry import Address, Alias, Entry
from semroute.errors import StoreError

if TYPE_CHECKING:
    from semroute.entry import FloatVector

_LITTLE_ENDIAN: Final = np.dtype("<f4")
OVERHEAD_BYTES: Final = 400
"""What a row costs beside its texts and vector: digests, numbers, indexes."""

ENTRY_COLUMNS: Final = "exact, partition, shard, created_at, expires_at, epoch, labels, query, vector, answer"


def text_column(text: str) -> bytes:
    """Return the text as bytes: SQLite refuses text that is not valid Unicode, and to read a damaged one."""
    return text.encode("utf-8", "surrogatepass")


def column_text(value: bytes) -> str:
    """Undo `text_column`; raises ValueError."""
    return value.decode("utf-8", "surrogatepass")


def labels_column(labels: frozenset[str]) -> str:
    return json.dumps(sorted(labels))


def column_labels(text: str | None) -> frozenset[str]:
    """Undo `labels_column`; raises ValueError. None stands for labels that were not asked for."""
    return frozenset() if text is None else frozenset(json.loads(text))


def vector_column(vector: FloatVector | None) -> bytes | None:
    """Return a vector as bytes; raises StoreError for one that no search could compare."""
    if vector is None:
        return None
    if vector.ndim != 1 or not vector.size or not np.isfinite(vector).all():
        raise StoreError(f"a vector must be one-dimensional and finite, this one has shape {vector.shape}")
    return np.ascontiguousarray(vector, dtype=_LITTLE_ENDIAN).tobytes()


def column_vector(blob: bytes | None, dimensions: int | None) -> FloatVector | None:
    """Undo `vector_column`; raises StoreError for a damaged vector."""
    if blob is None:
        return None
    if dimensions is None or len(blob) != 4 * dimensions:
        raise StoreError(f"a stored vector has {len(blob)} bytes, which is not {dimensions} dimensions")
    return np.frombuffer(blob, _LITTLE_ENDIAN).astype(np.float32, copy=False)


def entry_columns(entry: Entry) -> dict[str, Any]:
    """Return the columns of an entry, its size in `bytes` included; raises StoreError when it cannot be stored."""
    query, answer = text_column(entry.query), text_column(encode_answer(entry.answer))
    vector, labels = vector_column(entry.vector), labels_column(entry.labels)
    size = len(query) + len(answer) + len(labels) + OVERHEAD_BYTES
    return {
        "exact": entry.address.exact,
        "partition": entry.address.partition,
        "shard": entry.address.shard,
        "created_at": entry.created_at,
        "expires_at": entry.expires_at,
        "epoch": entry.epoch,
        "labels": labels,
        "query": query,
        "vector": vector,
        "answer": answer,
        "bytes": size if vector is None else size + len(vector),
    }


def read_entry(row: tuple[Any, ...], *, embedder: str | None, dimensions: int | None) -> Entry:
    """Build an entry from `ENTRY_COLUMNS`; raises StoreError when the row is damaged."""
    exact, partition, shard, created_at, expires_at, epoch, labels, query, blob, answer = row
    try:
        vector = column_vector(blob, dimensions)
        return Entry(
            address=Address(shard, partition, exact),
            query=column_text(query),
            answer=decode_answer(column_text(answer)),
            created_at=created_at,
            expires_at=expires_at,
            labels=column_labels(labels),
            epoch=epoch,
            vector=vector,
            embedder=None if vector is None else embedder,
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise StoreError(f"the stored entry {exact!r} is damaged: {error}") from error


def alias_columns(alias: Alias, row: int) -> dict[str, Any]:
    """Return the columns of an alias of the entry in `row`."""
    query = text_column(alias.query)
    return {
        "exact": alias.address.exact,
        "partition": alias.address.partition,
        "shard": alias.address.shard,
        "row": row,
        "query": query,
        "similarity": alias.similarity,
        "p_reusable": alias.p_reusable,
        "policy": alias.policy,
        "created_at": alias.created_at,
        "bytes": len(query) + OVERHEAD_BYTES,
    }


ALIAS_COLUMNS: Final = "exact, partition, shard, query, similarity, p_reusable, policy, created_at"


def read_alias(row: tuple[Any, ...], entry_id: str) -> Alias:
    """Build an alias from `ALIAS_COLUMNS`; raises StoreError when the row is damaged."""
    exact, partition, shard, query, similarity, p_reusable, policy, created_at = row
    try:
        return Alias(
            address=Address(shard, partition, exact),
            entry_id=entry_id,
            query=column_text(query),
            similarity=similarity,
            p_reusable=p_reusable,
            policy=policy,
            created_at=created_at,
        )
    except (ValueError, AttributeError) as error:
        raise StoreError(f"the stored alias {exact!r} is damaged: {error}") from error
