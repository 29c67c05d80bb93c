"""Six days at six companies, by people who had not seen the rules (evals/streams.md), through the whole cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from semroute.cli.framework import STAND_IN
from semroute.cli.replay_command import run
from semroute.cli.stream import read_stream

STREAMS = sorted((Path(__file__).resolve().parents[2] / "evals" / "streams").glob("*.jsonl"))


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_no_wrong_answer_is_served_and_most_of_what_can_be_is(path: Path) -> None:
    figures = run(read_stream(path), None, STAND_IN).as_dict()
    assert figures["wrong_hits"] == 0
    assert figures["traps_refused"] == figures["traps"] >= 55
    assert figures["hits"] >= 0.6 * figures["reusable"]
    assert figures["cosine_wrong_hits"] > 20
