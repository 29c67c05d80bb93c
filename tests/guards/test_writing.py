"""Splitting a text of words and marks alone is a shorter way to what splitting any text gives."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semroute.guards._writing import pieces, plain_pieces

BETWEEN_SPACES = st.from_regex(r"[A-Za-z]{1,6}(?:['-][A-Za-z]{1,3})?[,.?!;:]?", fullmatch=True) | st.just("")


@settings(deadline=None)
@given(st.lists(BETWEEN_SPACES | st.text(max_size=4), max_size=8))
def test_a_plain_text_has_the_pieces_of_any_text(between: list[str]) -> None:
    text = " ".join(between)
    assert plain_pieces(text) in (None, pieces(text))


@pytest.mark.parametrize("text", ["How do I reset it?", "Well, don't  wait;  co-own it!", "Yes"])
def test_words_and_marks_alone_are_a_plain_text(text: str) -> None:
    assert plain_pieces(text) == pieces(text)


@pytest.mark.parametrize("text", ["", " a", "Is it 5?", "`ls -l`", 'Say "yes"', "a.b", "e.g. this", "What ?", "Año"])
def test_anything_else_is_none(text: str) -> None:
    assert plain_pieces(text) is None
