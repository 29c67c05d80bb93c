"""Who is in a canary: a share of the requests, and always the same ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semroute import Request
from semroute.errors import ConfigError
from semroute.request import Digests
from semroute.shadow import is_in_canary

KEYS = st.text(max_size=40)
SHARES = st.floats(0.0, 1.0)


@given(KEYS, SHARES)
def test_the_same_question_is_always_on_the_same_side(key: str, share: float) -> None:
    assert is_in_canary(key, share) is is_in_canary(key, share)


@given(KEYS, SHARES, SHARES)
def test_who_is_in_stays_in_when_the_share_grows(key: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert is_in_canary(key, large) or not is_in_canary(key, small)


@given(KEYS)
def test_a_share_of_nothing_serves_nobody_and_a_share_of_one_serves_everybody(key: str) -> None:
    assert not is_in_canary(key, 0.0)
    assert is_in_canary(key, 1.0)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_the_share_of_real_keys_that_is_in_is_the_share_that_was_asked_for(share: float) -> None:
    digests = Digests(b"k" * 32)
    keys = [digests.address(Request.of(f"question {number}")).exact for number in range(5_000)]
    inside = sum(is_in_canary(key, share) for key in keys)
    spread = (5_000 * share * (1 - share)) ** 0.5
    assert abs(inside - 5_000 * share) < 4 * spread


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), True, "half", None])
def test_what_is_no_share_is_refused(share: object) -> None:
    with pytest.raises(ConfigError, match=r"share of requests in \[0, 1\]"):
        is_in_canary("key", share)  # type: ignore[arg-type]  # what is being tested
