from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semroute.codec import FORMAT_VERSION, decode_answer, encode_answer
from semroute.entry import Answer, Usage
from semroute.errors import StoreError

_TEXTS = st.text(st.characters(codec=None))
_NUMBERS = st.none() | st.floats(min_value=0, allow_nan=False, allow_infinity=False)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXTS, inner, max_size=4),
    max_leaves=10,
)
_ANSWERS = st.builds(
    Answer,
    text=_TEXTS,
    payload=_JSON,
    model=st.none() | _TEXTS,
    finish_reason=st.none() | _TEXTS,
    has_tool_calls=st.booleans(),
    is_refusal=st.booleans(),
    usage=st.none() | st.builds(Usage, st.integers(0), st.integers(0)),
    usd=_NUMBERS,
    latency_s=_NUMBERS,
)


@given(_ANSWERS)
def test_every_answer_comes_back_equal_and_its_text_can_be_written_as_utf_8(answer: Answer) -> None:
    text = encode_answer(answer)
    assert decode_answer(text.encode().decode()) == answer


def test_the_text_is_a_json_object_that_names_its_format_version_and_leaves_out_what_is_unset() -> None:
    assert json.loads(encode_answer(Answer("hi"))) == {"v": FORMAT_VERSION, "text": "hi"}


@pytest.mark.parametrize("payload", [float("nan"), float("inf"), {1, 2}, object()])
def test_a_payload_that_is_not_plain_json_is_refused(payload: object) -> None:
    with pytest.raises(StoreError, match="not plain JSON"):
        encode_answer(Answer("x", payload))  # type: ignore[arg-type]  # the point of the test


def test_a_payload_that_contains_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(StoreError, match="not plain JSON"):
        encode_answer(Answer("x", endless))  # type: ignore[arg-type]  # the point of the test


def test_an_answer_over_the_size_limit_is_refused_with_both_sizes() -> None:
    with pytest.raises(StoreError, match=r"takes \d+ bytes, more than the limit of 1000"):
        encode_answer(Answer("é" * 600), max_bytes=1000)
    with pytest.raises(StoreError, match="more than the limit"):
        decode_answer(encode_answer(Answer("x" * 2000)), max_bytes=1000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not json",
        "[]",
        "null",
        '{"text":"no version"}',
        '{"v":2,"text":"a newer format"}',
        '{"v":1}',
        '{"v":1,"text":3}',
        '{"v":1,"text":"x","model":[]}',
        '{"v":1,"text":"x","usage":[1]}',
        '{"v":1,"text":"x","usage":{"input":1}}',
        '{"v":1,"text":"x","usd":"free"}',
        '{"v":1,"text":"x","is_refusal":"no"}',
        "[" * 100_000,
    ],
)
def test_damaged_or_unknown_text_is_a_store_error_and_nothing_else(text: str) -> None:
    with pytest.raises(StoreError):
        decode_answer(text)


@given(st.text())
def test_no_text_makes_the_decoder_raise_anything_else(text: str) -> None:
    try:
        decode_answer(text)
    except StoreError:
        return
    raise AssertionError("random text is no answer")
