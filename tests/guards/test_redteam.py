"""Many pairs of everyday questions: minimal edits that ask something else, and rewordings that do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest

from semroute.entry import Candidate
from semroute.guards.lexical import lexical_guards

SIMILARITY = 0.95
LEAST_SHARE_OF_REWORDINGS = 0.70


class Case(NamedTuple):
    """A stored question, the one asked, and whether one answer serves both."""

    a: str
    b: str
    same: bool
    kind: str


def read_cases() -> list[Case]:
    lines = Path(__file__).with_name("redteam.jsonl").read_text(encoding="utf-8").splitlines()
    return [Case(**json.loads(line)) for line in lines]


CASES = read_cases()
KINDS = sorted({case.kind for case in CASES if not case.same})


def passes(query: str, stored: str) -> bool:
    candidate = Candidate("", stored, SIMILARITY)
    return all(guard.check(query, candidate).passed for guard in lexical_guards())


@pytest.mark.parametrize("kind", KINDS)
def test_no_edit_that_asks_something_else_passes_either_way(kind: str) -> None:
    edits = [case for case in CASES if case.kind == kind and not case.same]
    let_through = [case for case in edits if passes(case.b, case.a) or passes(case.a, case.b)]
    assert let_through == []


def test_most_rewordings_of_one_question_pass_both_ways() -> None:
    rewordings = [case for case in CASES if case.same]
    n_passed = sum(passes(case.b, case.a) and passes(case.a, case.b) for case in rewordings)
    assert n_passed / len(rewordings) >= LEAST_SHARE_OF_REWORDINGS


def test_the_pairs_are_many_and_of_both_sorts() -> None:
    assert sum(not case.same for case in CASES) >= 1_000
    assert sum(case.same for case in CASES) >= 300
