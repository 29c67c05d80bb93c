"""Labels from a judge: marked as such, in the order of the review, while the judge can be trusted to answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from semroute.guards.judge import JudgeGuard
from semroute.review.judging import FAILURES_TO_STOP, JudgeStopped, label_by_judge
from semroute.review.labels import LabelsFile
from semroute.review.log import ShadowLog
from semroute.review.session import ReviewSession


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "labels.csv"


def yes_to_even(prompt: str) -> str:
    return "Yes." if "bill 2" in prompt else "no"


def test_a_judge_labels_what_is_left_in_the_order_of_the_review(log: ShadowLog, out: Path) -> None:
    answers = []
    with ReviewSession(log, out, n=20) as session:
        session.label(True)
        expected = [choice.pair for choice in session.upcoming(19)]
        label_by_judge(session, JudgeGuard(yes_to_even), "my:model", on_answer=lambda: answers.append(1))
    with LabelsFile(out) as labels:
        person, *judged = labels.rows
    assert person.origin == "person"
    assert {label.origin for label in judged} == {"judge:my:model"}
    assert [label.pair for label in judged] == expected
    assert all(label.is_reusable is ("bill 2" in label.q2) for label in judged)
    assert len(answers) == 19


def test_the_judge_sees_the_answer_that_would_be_served(log: ShadowLog, out: Path) -> None:
    prompts: list[str] = []

    def judge(prompt: str) -> str:
        prompts.append(prompt)
        return "no"

    with ReviewSession(log, out, n=1) as session:
        label_by_judge(session, JudgeGuard(judge), "m")
    assert 'stored answer: "stored ' in prompts[0]
    assert "real " not in prompts[0]


def test_pairs_that_the_judge_cannot_tell_are_skipped(log: ShadowLog, out: Path) -> None:
    def judge(prompt: str) -> str:
        return "perhaps" if "bill 3" in prompt else "no"

    with ReviewSession(log, out, n=40) as session:
        label_by_judge(session, JudgeGuard(judge), "m", at_once=1)
        assert session.progress.skipped == 11
        assert session.progress.labelled == 29


def test_a_judge_that_keeps_failing_is_stopped_and_what_it_labelled_is_kept(log: ShadowLog, out: Path) -> None:
    def judge(prompt: str) -> str:
        if len(session.labels.rows) >= 3:
            raise ConnectionError("the line is dead")
        return "yes"

    with (
        ReviewSession(log, out, n=40) as session,
        pytest.raises(JudgeStopped, match=rf"failed {FAILURES_TO_STOP} times in a row, at last: .*the line is dead"),
    ):
        label_by_judge(session, JudgeGuard(judge), "m", at_once=1)
    with LabelsFile(out) as labels:
        assert len(labels.rows) == 3
