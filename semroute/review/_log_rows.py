"""The shadow log's tables, and its records as rows: answers as versioned JSON, everything else in columns."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

from semroute.codec import decode_answer, encode_answer
from semroute.entry import Answer
from semroute.errors import StoreError
from semroute.result import Verdict
from semroute.shadow import ShadowRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

APPLICATION_ID: Final = 0x53_4D_53_4C  # "SMSL"
SCHEMA_VERSION: Final = 1
CUT: Final = " […]"
"""Ends an answer that was too long to be kept whole."""

# What choosing needs stands before the answers, so that a scan does not read them.
TABLES: Final = (
    """
CREATE TABLE records (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    request TEXT NOT NULL,
    entry TEXT NOT NULL,
    query TEXT NOT NULL,
    candidate TEXT NOT NULL,
    similarity REAL NOT NULL,
    p_reusable REAL,
    threshold REAL,
    needed_p REAL,
    threshold_from TEXT,
    would_serve INTEGER NOT NULL,
    was_served INTEGER NOT NULL,
    labels TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    verdicts TEXT NOT NULL,
    stored_answer TEXT,
    real_answer TEXT
)""",
    "CREATE INDEX records_by_time ON records (at)",
    """
CREATE TABLE labels (
    label TEXT NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (label, number)
) WITHOUT ROWID""",
    """
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    records INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0
)""",
    "INSERT INTO state (one) VALUES (1)",
    """
CREATE TRIGGER record_came AFTER INSERT ON records BEGIN
    INSERT INTO labels (label, number) SELECT value, new.number FROM json_each(new.labels);
    UPDATE state SET records = records + 1, bytes = bytes + new.bytes;
END""",
    """
CREATE TRIGGER record_went AFTER DELETE ON records BEGIN
    DELETE FROM labels WHERE number = old.number AND label IN (SELECT value FROM json_each(old.labels));
    UPDATE state SET records = records - 1, bytes = bytes - old.bytes;
END""",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)

_SMALL: Final = (
    "number, at, request, entry, query, candidate, similarity, p_reusable, threshold, needed_p, threshold_from, "
    "would_serve, was_served, labels, verdicts"
)
INSERT: Final = (
    "INSERT INTO records (at, request, entry, query, candidate, similarity, p_reusable, threshold, needed_p, "
    "threshold_from, would_serve, was_served, labels, verdicts, stored_answer, real_answer, bytes) "
    f"VALUES ({', '.join('?' * 17)})"
)
SCAN: Final = f"SELECT {_SMALL}, NULL, NULL FROM records WHERE number > ? ORDER BY number LIMIT ?"
READ: Final = f"SELECT {_SMALL}, stored_answer, real_answer FROM records WHERE number = ?"


def row_of(record: ShadowRecord, max_answer_chars: int) -> tuple[object, ...]:
    """Return the row of a record, in the order of INSERT; raises StoreError for what cannot be kept."""
    if not math.isfinite(record.similarity):
        raise StoreError(f"its similarity is {record.similarity!r}")
    texts = [_text(record.query), _text(record.candidate)]
    rest = [
        _dump(sorted(record.labels)),
        _dump([[verdict.guard, verdict.passed, verdict.why, verdict.p_reusable] for verdict in record.verdicts]),
        _answer_text(record.stored_answer, max_answer_chars),
        _answer_text(record.real_answer, max_answer_chars),
    ]
    size = sum(len(text.encode()) for text in (*texts, *rest, record.request, record.entry) if text is not None)
    numbers = (record.similarity, record.p_reusable, record.threshold, record.needed_p, record.threshold_from)
    flags = (int(record.would_serve), int(record.was_served))
    return (record.at, record.request, record.entry, *texts, *numbers, *flags, *rest, size)


def record_of(row: tuple[Any, ...]) -> ShadowRecord:
    """Read a row of SCAN or READ back; raises StoreError for one that is damaged."""
    number, at, request, entry, query, candidate, *numbers, would, was, labels, verdicts, stored, real = row
    similarity, p_reusable, threshold, needed_p, threshold_from = numbers
    try:
        return ShadowRecord(
            at=float(at),
            request=request,
            entry=entry,
            query=query,
            candidate=candidate,
            similarity=float(similarity),
            p_reusable=p_reusable,
            verdicts=tuple(Verdict(*fields) for fields in json.loads(verdicts)),
            threshold=threshold,
            needed_p=needed_p,
            threshold_from=threshold_from,
            would_serve=bool(would),
            was_served=bool(was),
            stored_answer=None if stored is None else decode_answer(stored),
            real_answer=None if real is None else decode_answer(real),
            labels=frozenset(json.loads(labels)),
            number=number,
        )
    except (TypeError, ValueError) as error:
        raise StoreError(f"record {number} of the shadow log is damaged: {error}") from error


def _answer_text(answer: Answer | None, max_chars: int) -> str | None:
    """Write an answer without the integration's payload: a reviewer reads its text."""
    if answer is None:
        return None
    text = answer.text if len(answer.text) <= max_chars else answer.text[:max_chars] + CUT
    return encode_answer(Answer(text, model=answer.model, has_tool_calls=answer.has_tool_calls))


def _dump(value: Sequence[object]) -> str:
    return json.dumps(value, ensure_ascii=False).encode(errors="replace").decode()


def _text(text: str) -> str:
    """Return a text as SQLite can hold it: a lone surrogate becomes a question mark."""
    return text.encode(errors="replace").decode()
