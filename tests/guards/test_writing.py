"""Reading a text of words and marks alone is a shorter way to what reading any text gives."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semroute.guards._writing import Writing, plain_writing, writing

BETWEEN_SPACES = st.from_regex(r"[A-Za-z]{1,6}(?:['-][A-Za-z]{1,3})?[,.?!;:]?", fullmatch=True) | st.just("")


def read(found: Writing | None) -> tuple[object, ...] | None:
    return None if found is None else (found.said, found.n_pieces, found.n_words, found.n_capitals)


@settings(deadline=None)
@given(st.lists(BETWEEN_SPACES | st.text(max_size=4), max_size=8))
def test_a_plain_text_is_read_as_any_text(between: list[str]) -> None:
    text = " ".join(between)
    assert read(plain_writing(text)) in (None, read(writing(text)))


@pytest.mark.parametrize(
    "text",
    ["How do I reset it?", "Well, don't  wait;  co-own it!", "Yes", "WHO says so? US law. Ask Anna", "I May go."],
)
def test_words_and_marks_alone_are_a_plain_text(text: str) -> None:
    assert read(plain_writing(text)) == read(writing(text))


@pytest.mark.parametrize("text", ["", " a", "Is it 5?", "`ls -l`", 'Say "yes"', "a.b", "e.g. this", "What ?", "Año"])
def test_anything_else_is_none(text: str) -> None:
    assert plain_writing(text) is None
