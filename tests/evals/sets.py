"""A data folder with a few sentences, laid out as the evaluations expect it."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

Table = Sequence[Mapping[str, object]]

PAIRS: Sequence[tuple[str, str, int, str]] = (
    ("How do I renew my library card?", "how do i renew my library card", 1, "same"),
    ("How do I renew my library card?", "When does the harbour freeze over?", 0, "far"),
    ("Who tuned the organ in the town hall?", "who tuned the organ in the town hall", 1, "same"),
    ("How many bees live in a hive?", "How many hives does a bee see?", 0, "far"),
)
PAIR_FILES: Mapping[str, Sequence[str]] = {
    "paws_qqp/pairs.csv.gz": ("sentence1", "sentence2", "label", "edit_type"),
    "checklist_qqp/pairs.csv.gz": ("q1", "q2", "label", "kind"),
    "situatedqa/context_swap_pairs.csv.gz": ("q1", "q2", "same_answer", "context"),
    "timeqa/pairs.csv": ("q1", "q2", "same_answer", "group"),
    "gptcache_mock/pairs.csv": ("origin", "similar", "idx", "note"),
    "mqp_medical/pairs.csv": ("question_1", "question_2", "label", "dr_id"),
}


def write_table(path: Path, rows: Table) -> None:
    """Write rows as CSV or JSONL, gzipped or not, as the name of the file says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO(newline="")
    if ".jsonl" in path.name:
        text.write("".join(json.dumps(row) + "\n" for row in rows))
    else:
        table = csv.DictWriter(text, fieldnames=list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    content = text.getvalue().encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def write_sets(folder: Path) -> Path:
    """Write a few rows of every set into a data folder."""
    for name, columns in PAIR_FILES.items():
        write_table(folder / name, [dict(zip(columns, pair, strict=True)) for pair in PAIRS])
    texts = list(dict.fromkeys(text for pair in PAIRS for text in pair[:2]))
    ids = {text: f"t{number}" for number, text in enumerate(texts)}
    stream = [{"qid": ids[text], "class_norm": text.lower().rstrip("?"), "text": text} for text in texts]
    write_table(folder / "qqp/stream.csv.gz", stream)
    pairs = [{"q1": ids[stored], "q2": ids[asked], "label": label} for stored, asked, label, _ in PAIRS]
    write_table(folder / "qqp/pairs.csv.gz", pairs)
    turns = [
        {"id": "a", "history": ["Tell me of castles.", "There are many."], "utterance": "Which is the oldest?"},
        {"id": "b", "history": ["Tell me of bridges.", "There are many."], "utterance": "Which is the oldest?"},
    ]
    write_table(folder / "conversations/turns.jsonl.gz", turns)
    write_table(folder / "conversations/collision_pairs.csv", [{"id_a": "a", "id_b": "b", "label": 0}])
    return folder
