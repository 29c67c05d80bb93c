"""How a document is taken apart into passages, and what the rule of nearness takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semroute.documents._passages import MOST_PASSAGES, sentences
from semroute.documents.nearness import AT_LEAST, Nearness, passages
from semroute.errors import ConfigError
from semroute.testing.embedders import HashEmbedder

WORDS = st.sampled_from(["Harbour", "branch", "opens", "at", "nine.", "Closed!", "Why?", "no.7", "e.g.", "Dr."])


class Counting:
    """Counts what it is asked about; too long is told at once, as the default embedder does."""

    def __init__(self) -> None:
        self.characters = 0

    def fits(self, text: str) -> bool:
        self.characters += min(len(text), 4_096)
        return len(text) <= 1_000


def fits_all(text: str) -> bool:
    return True


def test_a_passage_is_two_sentences_and_begins_within_the_one_before() -> None:
    assert passages("It is open. It is warm. It is free.", fits_all) == [
        "It is open. It is warm.",
        "It is warm. It is free.",
    ]


def test_one_sentence_is_one_passage() -> None:
    assert passages("The fee is 3 euros.", fits_all) == ["The fee is 3 euros."]


@pytest.mark.parametrize("text", ["", "  \n\t\n ", "---\n***"])
def test_an_empty_text_has_no_passages(text: str) -> None:
    assert passages(text, fits_all) == []


def test_a_title_without_a_text_is_a_passage() -> None:
    assert passages("", fits_all, "Opening hours") == ["Opening hours"]


def test_every_passage_carries_the_title() -> None:
    found = passages("It is open. It is warm. It is free.", fits_all, "The pool")
    assert found == ["The pool. It is open. It is warm.", "The pool. It is warm. It is free."]


@pytest.mark.parametrize("text", ["# The pool\nIt is open.", "The pool\n\nIt is open.", "\n**The pool**\nIt is open."])
def test_a_first_line_that_looks_like_a_heading_is_the_title(text: str) -> None:
    assert passages(text, fits_all) == ["The pool. It is open."]


@pytest.mark.parametrize("text", ["It is warm.\nIt is open.", "The pool has these hours:\nIt is open."])
def test_a_first_line_that_is_a_sentence_is_no_title(text: str) -> None:
    first, second = text.splitlines()
    assert passages(text, fits_all) == [f"{first} {second}"]


def test_a_heading_alone_is_the_text() -> None:
    assert passages("Closed on Monday", fits_all) == ["Closed on Monday"]


def test_the_title_is_left_out_where_there_is_no_room_for_it() -> None:
    embedder = HashEmbedder(max_words=6)
    found = passages("It is open today. Late.", embedder.fits, "The pool on Elm Road")
    assert found == ["It is open today. Late."]


def test_a_text_that_does_not_fit_is_parted_and_loses_nothing() -> None:
    embedder = HashEmbedder(max_words=5)
    words = [f"word{number}" for number in range(23)]
    found = passages(" ".join(words), embedder.fits)
    assert " ".join(found).split() == words
    assert all(embedder.fits(passage) for passage in found)


def test_a_word_that_the_embedder_does_not_know_is_left_out_alone() -> None:
    found = passages("Great news 🎉 for all. The pool is open.", lambda text: "🎉" not in text, "The 🎉 pool")
    assert found == ["The pool. Great news for all. The pool is open."]


def test_a_text_of_which_nothing_fits_has_no_passages() -> None:
    assert passages("x" * 9_000, lambda text: len(text) < 100, "y" * 9_000) == []


def test_a_long_document_has_longer_passages_instead_of_more() -> None:
    text = " ".join(f"Sentence number {number}." for number in range(5_000))
    found = passages(text, fits_all)
    assert len(found) <= MOST_PASSAGES
    assert found[-1].endswith("Sentence number 4999.")
    assert all(f"number {number}." in " ".join(found) for number in range(0, 5_000, 97))


def test_a_passage_that_stands_twice_is_given_once() -> None:
    assert passages("Yes. Yes. Yes. Yes.", fits_all) == ["Yes. Yes."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Dr. Berg is in. Call her.", ["Dr. Berg is in.", "Call her."]),
        ("Bring ID, e.g. A passport. Come early.", ["Bring ID, e.g. A passport.", "Come early."]),
        ("It costs 3.50 euros. Cash only.", ["It costs 3.50 euros.", "Cash only."]),
        ('"Really?" She nodded.', ['"Really?"', "She nodded."]),
        ("周日关闭。周一开放。", ["周日关闭。", "周一开放。"]),
        ("- bread\n- milk", ["bread", "milk"]),
        ("1. Fill the tank.\n2. Press start.", ["1. Fill the tank.", "2. Press start."]),
        ("It may be cold:\n-5 degrees in May.", ["It may be cold:", "-5 degrees in May."]),
        ("| Monday | 9 to 5 |\n|---|---|\n| Friday | closed |", ["Monday | 9 to 5", "Friday | closed"]),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text: str, expected: list[str]) -> None:
    assert list(filter(None, sentences(text))) == expected


def test_a_sentence_over_wrapped_lines_is_one() -> None:
    wrapped = "The branch at the harbour has moved into its renovated rooms and\nis open again."
    assert list(filter(None, sentences(wrapped))) == [wrapped.replace("\n", " ")]


@given(st.lists(WORDS, min_size=1, max_size=60), st.integers(1, 12), st.sampled_from(["", "The pool"]))
def test_every_word_is_in_a_passage_and_every_passage_fits(words: list[str], most: int, title: str) -> None:
    def fits(text: str) -> bool:
        return len(text.split()) <= most

    found = passages(" ".join(words), fits, title)
    assert set(words) <= set(" ".join(found).split())
    assert all(fits(passage) for passage in found)


@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan")])
def test_a_threshold_that_is_no_cosine_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="at_least"):
        Nearness(value)


def test_the_default_threshold_is_the_measured_one() -> None:
    assert Nearness().at_least == AT_LEAST


@pytest.mark.parametrize(
    "text",
    ["A. " * 100_000, "| " * 200_000, " " * 400_000 + "x", "word " * 100_000, "x" * 400_000, ("y" * 70 + "\n") * 6_000],
    ids=["abbreviations", "bars", "blanks", "words", "one word", "full lines"],
)
def test_a_strange_text_costs_no_more_than_its_length(text: str) -> None:
    embedder = Counting()
    passages(text, embedder.fits)
    assert embedder.characters < 60 * len(text)
