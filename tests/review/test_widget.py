"""The review in a notebook, by the handlers of its buttons."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from semroute.entry import Answer
from semroute.errors import MissingExtra, StoreError
from semroute.result import Verdict
from semroute.review.choosing import most_informative
from semroute.review.labels import LabelsFile
from semroute.review.log import ShadowLog
from semroute.review.widget import ReviewWidget, pair_html, review

from .records import make_record

pytest.importorskip("ipywidgets", reason="it comes with [notebook]")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "labels.csv"


@pytest.fixture
def widget(log: ShadowLog, out: Path) -> Iterator[ReviewWidget]:
    widget = review(log, out, n=3)
    yield widget
    widget.close()


def labels_of(path: Path) -> list[tuple[str, bool]]:
    with LabelsFile(path) as labels:
        return [(label.q2, label.is_reusable) for label in labels.rows]


def test_the_first_pair_is_shown_with_both_answers(widget: ReviewWidget) -> None:
    choice = widget.session.current
    assert choice is not None
    for text in ("How do I pay my bill?", choice.record.query, "stored ", "real ", "similarity"):
        assert text in widget.pair.value
    assert widget.count.value == "0 of 3 labelled, 0 skipped"


def test_buttons_label_skip_and_take_back(widget: ReviewWidget, out: Path) -> None:
    first = widget.pair.value
    widget.yes.click()
    assert widget.pair.value != first
    widget.no.click()
    widget.skip.click()
    assert widget.count.value == "2 of 3 labelled, 1 skipped"
    assert [is_reusable for _, is_reusable in labels_of(out)] == [True, False]
    for _ in range(3):
        widget.undo.click()
    assert widget.pair.value == first
    assert labels_of(out) == []


def test_after_each_click_the_file_has_the_weights_of_the_labels_that_there_are(
    widget: ReviewWidget, log: ShadowLog, out: Path
) -> None:
    for count in (1, 2, 3):
        widget.yes.click()
        with LabelsFile(out) as labels:
            weights = [label.weight for label in labels.rows]
        expected = [choice.weight for choice in most_informative(log.scan(), count)]
        assert weights == pytest.approx(expected, rel=1e-5)


def test_when_it_is_done_the_answers_cannot_be_clicked_any_more_but_taken_back(widget: ReviewWidget) -> None:
    for _ in range(3):
        widget.yes.click()
    assert "Done:</b> 3 labels (3 yes, 0 no)" in widget.pair.value
    assert [button.disabled for button in (widget.yes, widget.no, widget.skip, widget.undo)] == [True] * 3 + [False]
    assert (widget.bar.value, widget.bar.max) == (3, 3)
    widget.undo.click()
    assert not widget.yes.disabled


def test_the_cell_can_be_run_again_and_the_old_buttons_then_say_so(
    widget: ReviewWidget, log: ShadowLog, out: Path
) -> None:
    widget.yes.click()
    again = review(log, out, n=3)
    again.no.click()
    widget.yes.click()
    assert "was changed" in widget.message.value
    again.yes.click()
    assert [is_reusable for _, is_reusable in labels_of(out)] == [True, False, True]
    again.close()


def test_it_is_shown_as_a_widget(widget: ReviewWidget) -> None:
    bundle = widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle


def test_a_strangers_text_is_only_text(log: ShadowLog) -> None:
    record = make_record(
        query="<script>alert(1)</script>",
        candidate='"><img src=x onerror=alert(1)>',
        stored_answer=Answer("<b>bold</b>"),
        verdicts=(Verdict("<i>", False, "<u>"),),
    )
    (choice,) = most_informative([record], 1)
    page = pair_html(choice)
    for tag in ("<script", "<img", "<b>", "<i>", "<u>"):
        assert tag not in page
    assert "&lt;b&gt;bold" in page


def test_a_log_that_is_not_there_is_an_error_of_the_cell(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no shadow log"):
        review(tmp_path / "no.db", tmp_path / "labels.csv")


def test_without_ipywidgets_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, log: ShadowLog, out: Path) -> None:
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(MissingExtra, match=r"semroute-cache\[notebook\]"):
        review(log, out)
    assert not out.exists()
