"""The record of an entry: bounded, and plain JSON at rest."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semroute.errors import StoreError
from semroute.online import Observation, Observations
from semroute.online.observations import MAX_OBSERVATIONS

SHARES = st.floats(0.0, 1.0)
RECORDS = st.lists(st.builds(Observation, SHARES, st.booleans(), st.none() | SHARES), max_size=MAX_OBSERVATIONS)


@given(RECORDS)
def test_a_record_comes_back_from_its_json_text(items: list[Observation]) -> None:
    record = Observations(tuple(items))
    assert Observations.from_json(json.loads(json.dumps(record.as_json(), allow_nan=False))) == record


def test_a_record_keeps_the_newest_observations_only_and_stays_small() -> None:
    record = Observations()
    for number in range(3 * MAX_OBSERVATIONS):
        record = record.with_one(Observation(0.123456789012345, number % 2 == 0, number / 1000))
    assert len(record.items) == MAX_OBSERVATIONS
    assert record.items[-1].p_prior == (3 * MAX_OBSERVATIONS - 1) / 1000
    assert len(json.dumps(record.as_json())) < 3 * 1024


@pytest.mark.parametrize(
    "stored",
    [
        None,
        [],
        {"version": 2, "observations": []},
        {"version": 1},
        {"version": 1, "observations": [[0.5, 1]]},
        {"version": 1, "observations": [[1.5, 1, None]]},
        {"version": 1, "observations": [[0.5, 2, None]]},
        {"version": 1, "observations": [[0.5, 1, float("nan")]]},
        {"version": 1, "observations": [[0.5, 1, None]] * (MAX_OBSERVATIONS + 1)},
    ],
)
def test_anything_that_is_no_record_is_a_store_error(stored: object) -> None:
    with pytest.raises(StoreError, match="observation"):
        Observations.from_json(stored)  # type: ignore[arg-type]  # what a damaged store may hold
