"""A review from its first pair to its last label, with every kind of break in between."""

from __future__ import annotations

from pathlib import Path

import pytest

from semroute.entry import Answer, Selector
from semroute.errors import ConfigError, StoreError
from semroute.review.choosing import most_informative
from semroute.review.labels import LabelsFile
from semroute.review.log import ShadowLog
from semroute.review.session import ReviewSession

from .records import make_record


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "labels.csv"


def labelled(out: Path) -> list[tuple[str, bool]]:
    with LabelsFile(out) as labels:
        return [(label.q2, label.is_reusable) for label in labels.rows]


def test_the_most_informative_pairs_are_asked_about_in_their_order(log: ShadowLog, out: Path) -> None:
    expected = [choice.pair for choice in most_informative(log.scan(), 6)]
    asked = []
    with ReviewSession(log, out, n=6) as session:
        while (choice := session.current) is not None:
            asked.append(choice.pair)
            session.label(True)
    assert asked == expected
    assert [query for query, _ in labelled(out)] == [query for _, query in expected]


def test_the_current_pair_shows_both_answers(log: ShadowLog, out: Path) -> None:
    with ReviewSession(log, out) as session:
        choice = session.current
        assert choice is not None
        number = choice.record.query.split()[-1].rstrip("?")
        assert choice.record.stored_answer == Answer(f"stored {number}")
        assert choice.record.real_answer == Answer(f"real {number}")


def test_a_label_is_in_the_file_when_it_has_been_given(log: ShadowLog, out: Path) -> None:
    with ReviewSession(log, out, clock=lambda: 1_750_000_000.0) as session:
        choice = session.current
        assert choice is not None
        session.label(False)
        head, row = out.read_text().splitlines()
        assert row.startswith(f"{choice.record.candidate},{choice.record.query},0,")
        assert row.endswith(f",person,2025-06-15T15:06:40+00:00,{choice.record.number}")
        assert head == "q1,q2,label,weight,origin,time,record"


def test_an_interrupted_review_goes_on_where_it_was(log: ShadowLog, out: Path) -> None:
    with ReviewSession(log, out, n=10) as session:
        whole = [choice.pair for choice in session.upcoming(10)]
        for _ in range(4):
            session.label(True)
    with ReviewSession(log, out, n=10) as session:
        assert session.progress.labelled == 4
        assert [choice.pair for choice in session.upcoming(10)] == whole[4:]


def test_a_review_that_was_killed_in_the_middle_of_a_line_asks_about_that_pair_again(log: ShadowLog, out: Path) -> None:
    with ReviewSession(log, out) as session:
        session.label(True)
        second = session.current
        session.label(True)
    out.write_bytes(out.read_bytes()[:-12])
    with ReviewSession(log, out) as session:
        again = session.current
        assert again is not None
        assert second is not None
        assert again.pair == second.pair


def test_the_review_is_done_when_there_are_as_many_labels_as_were_asked_for(log: ShadowLog, out: Path) -> None:
    with ReviewSession(log, out, n=3) as session:
        for _ in range(3):
            assert session.current is not None
            session.label(True)
        assert session.current is None
        assert (session.progress.labelled, session.progress.left) == (3, 0)


def test_a_log_with_fewer_pairs_is_done_when_all_of_them_are(log: ShadowLog, out: Path) -> None:
    with ReviewSession(log, out, n=300) as session:
        assert session.progress.wanted == 40
        while session.current is not None:
            session.label(True)
        assert session.progress.labelled == 40


def test_what_is_skipped_comes_back_after_all_others(log: ShadowLog, out: Path) -> None:
    with ReviewSession(log, out) as session:
        skipped = [session.current]
        session.skip()
        session.label(True)
        skipped.append(session.current)
        session.skip()
        for _ in range(37):
            assert session.current not in skipped
            session.label(True)
        assert (session.progress.skipped, session.progress.left) == (2, 2)
        for choice in skipped:
            current = session.current
            assert current is not None
            assert choice is not None
            assert current.pair == choice.pair
            session.label(False)
        assert session.current is None
        assert (session.progress.skipped, session.progress.labelled) == (0, 40)


def test_a_pair_may_be_skipped_again_and_again_and_counts_once(log: ShadowLog, out: Path) -> None:
    with ReviewSession(log, out) as session:
        first = session.current
        for _ in range(80):
            session.skip()
        assert (session.progress.skipped, session.progress.left) == (40, 40)
        assert session.current == first
        for _ in range(80):
            assert session.undo()
        assert (session.progress.skipped, session.current) == (0, first)


def test_the_next_session_knows_of_no_skips(log: ShadowLog, out: Path) -> None:
    with ReviewSession(log, out) as session:
        skipped = session.current
        session.skip()
        after = session.current
        assert after is not None
        assert skipped is not None
        assert after.pair != skipped.pair
        assert session.progress.skipped == 1
    with ReviewSession(log, out) as session:
        back = session.current
        assert back is not None
        assert back.pair == skipped.pair


def test_labels_and_skips_are_taken_back_one_by_one(log: ShadowLog, out: Path) -> None:
    with ReviewSession(log, out) as session:
        first = session.current
        session.label(True)
        second = session.current
        session.skip()
        session.label(False)
        assert session.undo()
        assert len(labelled_now(session)) == 1
        assert session.undo()
        assert session.current == second
        assert session.undo()
        assert session.current == first
        assert not session.undo()
        assert labelled_now(session) == []


def labelled_now(session: ReviewSession) -> list[bool]:
    return [label.is_reusable for label in session.labels.rows]


def test_a_label_of_an_earlier_session_can_be_taken_back(log: ShadowLog, out: Path) -> None:
    with ReviewSession(log, out) as session:
        session.label(True)
    with ReviewSession(log, out) as session:
        assert session.undo()
        session.label(False)
    assert [is_reusable for _, is_reusable in labelled(out)] == [False]


def test_a_label_whose_pair_has_left_the_log_is_kept_and_not_taken_back_in_place_of_another(
    log: ShadowLog, out: Path
) -> None:
    with ReviewSession(log, out, n=2) as session:
        session.label(True)
        session.label(True)
        before = labelled_now(session)
    log.delete(Selector())
    log.add([make_record(99)])
    log.flush()
    with ReviewSession(log, out, n=5) as session:
        assert not session.undo()
        session.label(False)
        assert labelled_now(session) == [*before, False]


def test_the_weights_in_the_end_are_those_of_a_sample_of_that_size(log: ShadowLog, out: Path) -> None:
    with ReviewSession(log, out, n=15) as session:
        while session.current is not None:
            session.label(True)
    expected = {choice.pair: choice.weight for choice in most_informative(log.scan(), 15)}
    with LabelsFile(out) as labels:
        weights = {label.pair: label.weight for label in labels.rows}
    assert weights == pytest.approx(expected, rel=1e-5)
    assert sum(weights.values()) == pytest.approx(40, rel=1e-4)


def test_a_log_that_has_grown_gives_the_labels_that_there_are_more_to_speak_for(log: ShadowLog, out: Path) -> None:
    with ReviewSession(log, out, n=15) as session:
        while session.current is not None:
            session.label(True)
    log.add(make_record(number, similarity=0.8) for number in range(100, 160))
    log.flush()
    with ReviewSession(log, out, n=16) as session:
        session.label(True)
    with LabelsFile(out) as labels:
        assert sum(label.weight for label in labels.rows) == pytest.approx(100, rel=1e-4)


def test_weights_that_a_killed_review_left_behind_are_set_by_the_next_one(log: ShadowLog, out: Path) -> None:
    killed = ReviewSession(log, out, n=15).open()
    while killed.current is not None:
        killed.label(True)
    killed.labels.close()
    with LabelsFile(out) as labels:
        assert sum(label.weight for label in labels.rows) != pytest.approx(40, rel=1e-4)
    ReviewSession(log, out, n=15).open().close()
    with LabelsFile(out) as labels:
        assert sum(label.weight for label in labels.rows) == pytest.approx(40, rel=1e-4)


def test_when_there_is_no_pair_left_nothing_more_can_be_said(log: ShadowLog, out: Path) -> None:
    with ReviewSession(log, out) as session:
        while session.current is not None:
            session.label(True)
        for say in (lambda: session.label(True), session.skip):
            with pytest.raises(ConfigError, match="the review is done"):
                say()


def test_progress_tells_persons_from_judges(log: ShadowLog, out: Path) -> None:
    with ReviewSession(log, out, n=5) as session:
        session.label(True)
        session.label(False, origin="judge:some:model")
        progress = session.progress
    assert (progress.labelled, progress.yes, progress.by_judges) == (2, 1, 1)
    assert (progress.wanted, progress.left, progress.records, progress.pairs) == (5, 3, 40, 40)


def test_a_log_without_a_pair_to_compare_says_so(path: Path, out: Path) -> None:
    log = ShadowLog(path)
    log.add([make_record(query="same", candidate="same")])
    log.close()
    with pytest.raises(StoreError, match="holds no pairs to review yet"):
        ReviewSession(log, out).open()
    assert not out.exists()


def test_fewer_than_one_pair_cannot_be_reviewed(log: ShadowLog, out: Path) -> None:
    with pytest.raises(ConfigError, match="review at least 1 pair"):
        ReviewSession(log, out, n=0)
