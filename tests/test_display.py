"""Results and explanations as cards in a notebook."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from typing import get_args

import pytest

from semroute.entry import Answer
from semroute.rehearsal import StepRecord, Trace
from semroute.result import Bypass, Explanation, Hit, Miss, Nearest, Saved, Tier, Verdict

PASSED = (Verdict("numbers", passed=True), Verdict("verifier", passed=True, p_reusable=0.9876))
REFUSED = (Verdict("numbers", passed=True), Verdict("polarity", passed=False, why="turn off ≠ turn on"))
SERVED = Explanation(
    "l2", "the same question in other words: 'How?'", "e1", 0.9421, 0.9876, 0.88, "policy desk-1", 7_500.0,
    "gpt-4o-mini", Saved(412, 0.000218, 1.25), PASSED, (Nearest("e1", "How?", 0.9421, PASSED),),
)  # fmt: skip
MISSED = Explanation(
    "miss", "refused", similarity=0.9, threshold=0.88, verdicts=REFUSED, considered=(Nearest("e1", "Q", 0.9, REFUSED),)
)
EVIL = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


class Seen(HTMLParser):
    """Collects the tags, the attributes and the text of a page, and whether what was opened was closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        if tag != "br":
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


def test_a_hit_shows_its_answer_and_why_it_was_served_and_what_it_saved() -> None:
    text = Seen(Hit(Answer("Press Reset."), SERVED)._repr_html_()).text
    for told in (
        *("Hit (l2)", "Press Reset.", "the same question in other words", "0.942, at least 0.88 (from policy desk-1)"),
        *("0.988", "✓ passed: numbers, verifier (P(reusable) 0.988)", "412 tokens · $0.000218 · 1.25 s"),
        *("gpt-4o-mini", "2.1 h", "0.942 How? ✓ passed"),
    ):
        assert told in text


def test_a_miss_says_in_words_which_guard_refused_and_what_differs() -> None:
    text = Seen(Miss(MISSED)._repr_html_()).text
    for told in ("Miss", "✓ passed: numbers", "✗ polarity refused: turn off ≠ turn on", "0.900 Q ✗ polarity"):
        assert told in text
    assert "Hit" not in text


def test_an_explanation_shows_the_same_card_without_an_answer() -> None:
    page = SERVED._repr_html_()
    assert Hit(Answer("Press Reset."), SERVED)._repr_html_().startswith(page.partition("<table")[0])
    assert "Press Reset." not in page


def test_a_withheld_hit_shows_what_would_have_been_served() -> None:
    text = Seen(Miss(replace(MISSED, reason="in shadow"), Hit(Answer("Press Reset."), SERVED))._repr_html_()).text
    assert "withheld this answer (tier l2): Press Reset." in " ".join(text.split())


def test_a_bypass_says_that_nothing_was_read_or_stored() -> None:
    text = Seen(Bypass(Explanation("bypass", "asks for what changes by the hour"))._repr_html_()).text
    assert "Bypass · neither read from the cache nor stored" in " ".join(text.split())
    assert "asks for what changes by the hour" in text


@pytest.mark.parametrize("tier", get_args(Tier))
def test_every_tier_has_a_card(tier: Tier) -> None:
    assert "because" in Seen(Explanation(tier, "because")._repr_html_()).text


@pytest.mark.parametrize(
    "explanation",
    [
        Explanation("miss", EVIL),
        replace(SERVED, threshold_from=EVIL),
        replace(SERVED, model=EVIL),
        replace(SERVED, considered=(Nearest("e", EVIL, 0.9, (Verdict(EVIL, passed=False, why=EVIL),)),)),
        replace(SERVED, verdicts=(Verdict(EVIL, passed=False, why=EVIL), Verdict(EVIL, passed=True))),
        replace(SERVED, failures=(EVIL,)),
    ],
    ids=["reason", "threshold", "model", "candidate", "verdict", "failure"],
)
def test_what_strangers_wrote_is_only_ever_text(explanation: Explanation) -> None:
    for page in (
        explanation._repr_html_(),
        Hit(Answer(EVIL), explanation)._repr_html_(),
        Miss(explanation, Hit(Answer(EVIL), explanation))._repr_html_(),
    ):
        seen = Seen(page)
        assert {"script", "img"}.isdisjoint(seen.tags)
        assert "onerror" not in seen.attributes
        assert EVIL in seen.text


def test_the_bar_is_as_long_as_the_similarity_and_the_line_stands_at_the_threshold() -> None:
    page = Explanation("miss", "why", similarity=0.25, threshold=0.75)._repr_html_()
    assert '<rect y="3" width="50.0"' in page
    assert '<line x1="150.0"' in page
    assert 'aria-label="0.250, under 0.75"' in page


def test_a_similarity_without_a_threshold_has_no_line() -> None:
    page = Explanation("l1_alias", "why", similarity=0.97)._repr_html_()
    assert "<line" not in page
    assert "<rect" in page


def test_unknown_savings_are_left_out_and_not_shown_as_none() -> None:
    assert "saved" not in Seen(replace(SERVED, saved=Saved())._repr_html_()).text
    text = Seen(replace(SERVED, saved=Saved(seconds=2.0))._repr_html_()).text
    assert "2.00 s" in text
    assert "None" not in text


def test_a_card_stays_small_however_much_there_is_to_show() -> None:
    many = tuple(Nearest(f"e{number}", "q" * 5_000, 0.9, REFUSED) for number in range(100))
    page = Hit(Answer("a" * 100_000), replace(MISSED, tier="l2", considered=many))._repr_html_()
    assert len(page) < 8_000
    assert "and 95 more" in page
    assert "99,400 more characters" in page


def test_a_usual_card_is_under_four_kilobytes() -> None:
    assert len(Hit(Answer("Press Reset."), SERVED)._repr_html_()) < 4_000


def test_nothing_is_fetched_and_text_keeps_the_colour_of_the_page() -> None:
    page = Hit(Answer("Press Reset."), SERVED)._repr_html_()
    assert "http" not in page
    assert "url(" not in page
    assert ";color:" not in page
    assert "currentColor" in page


@pytest.mark.parametrize(
    ("age_s", "told"), [(5.0, "5.0 s"), (90.0, "1.5 min"), (7_200.0, "2.0 h"), (172_800.0, "2.0 d")]
)
def test_an_age_is_told_in_the_unit_that_fits(age_s: float, told: str) -> None:
    assert told in Seen(replace(SERVED, age_s=age_s)._repr_html_()).text


def test_an_explained_lookup_shows_its_steps_and_is_short_in_a_shell() -> None:
    trace = Trace(MISSED, (StepRecord("search", "1 candidates, best 0.900", 0.42), StepRecord("judge", EVIL, 0.0)))
    seen = Seen(trace._repr_html_())
    assert "search" in seen.text
    assert "0.42 ms" in seen.text
    assert "script" not in seen.tags
    assert repr(trace) == "<Trace miss: refused; 2 steps>"
