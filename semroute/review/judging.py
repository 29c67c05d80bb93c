"""Labels from a judge instead of a person: the same session, answered by a model."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Protocol

from semroute.errors import SemrouteError

if TYPE_CHECKING:
    from semroute.review.choosing import Choice
    from semroute.review.session import ReviewSession

FAILURES_TO_STOP: Final = 10


class Judge(Protocol):
    """Says whether a stored answer may be given for another question; raises SemrouteError where it cannot tell."""

    def ask(self, asked: str, stored: str, stored_answer: str | None = None) -> bool: ...


class JudgeStopped(SemrouteError):
    """A judge failed too often in a row to go on; what it labelled before is kept."""


def label_by_judge(
    session: ReviewSession,
    judge: Judge,
    name: str,
    *,
    at_once: int = 4,
    on_answer: Callable[[], object] = lambda: None,
) -> None:
    """Let a judge label what is left of a review, `at_once` pairs at a time.

    Its labels have the origin "judge:" and its name. A pair that it cannot tell is skipped; `on_answer` is called
    after each pair. Raises JudgeStopped after ten failures in a row.
    """
    failures = 0
    asked: set[tuple[str, str]] = set()
    with ThreadPoolExecutor(at_once, thread_name_prefix="semroute-review") as pool:
        # What the judge could not tell comes back after all others: then it has seen everything.
        while batch := [choice for choice in session.upcoming(at_once) if choice.pair not in asked]:
            asked.update(choice.pair for choice in batch)
            for answer in pool.map(lambda choice: _asked(judge, choice), batch):
                if isinstance(answer, bool):
                    session.label(answer, origin=f"judge:{name}")
                    failures = 0
                else:
                    session.skip()
                    failures += 1
                on_answer()
                if failures >= FAILURES_TO_STOP:
                    raise JudgeStopped(f"the judge {name} failed {failures} times in a row, at last: {answer}")


def _asked(judge: Judge, choice: Choice) -> bool | SemrouteError:
    record = choice.record
    answer = None if record.stored_answer is None else record.stored_answer.text
    try:
        return judge.ask(record.query, record.candidate, answer)
    except SemrouteError as error:
        return error
