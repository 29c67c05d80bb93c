"""A review: the pairs of a shadow log one by one, and the labels that a person or a judge gives them."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Self

from semroute.errors import ConfigError, StoreError
from semroute.review.choosing import Choice, Population
from semroute.review.labels import PERSON, Label, LabelsFile
from semroute.review.log import ShadowLog

DEFAULT_N: Final = 300


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a review is."""

    labelled: int
    """Labels in the file, those of earlier sessions included."""
    wanted: int
    """How many labels the review is to end with; fewer than asked for where the log has fewer pairs."""
    skipped: int
    """Pairs that this session passed over, and that wait to be asked about once more."""
    yes: int
    by_judges: int
    records: int
    """Records in the log: every stored question that a request met, near or not."""
    requests: int
    """Requests that they are of; of each the record that was nearest to being served counts."""
    pairs: int
    """Different pairs among those."""

    @property
    def left(self) -> int:
        return max(0, self.wanted - self.labelled)


class ReviewSession:
    """Asks about the most informative pairs of a log until `n` of them are labelled, and keeps the labels in a file.

    Each label is on the disk when `label` returns. A review that was interrupted goes on where it was, since what is
    labelled is not asked again; what was skipped comes back when all others were asked about, or in the next session,
    which knows of no skips. The weights are those of a sample of the present size
    once the session is settled or closed. Opening raises StoreError for a log that is not there, empty, damaged or of
    a newer version, and ConfigError for a file of labels that is none.
    """

    def __init__(
        self,
        log: str | os.PathLike[str] | ShadowLog | None = None,
        labels: str | os.PathLike[str] | LabelsFile = "labels.csv",
        *,
        n: int = DEFAULT_N,
        seed: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if n < 1:
            raise ConfigError(f"n={n} is out of range: review at least 1 pair")
        self.log = log if isinstance(log, ShadowLog) else ShadowLog(log)
        self.labels = labels if isinstance(labels, LabelsFile) else LabelsFile(labels)
        self._n = n
        self._seed = seed
        self._clock = clock
        self._population = Population(())
        self._waiting: deque[Choice] = deque()
        self._passed: list[tuple[Choice, bool]] = []

    def __repr__(self) -> str:
        return f"<ReviewSession of {str(self.log.path)!r}, {len(self.labels.rows)} labels in {str(self.labels.path)!r}>"

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> Self:
        """Read the log and the labels that there are."""
        self._population = Population(self.log.scan(), seed=self._seed)
        if not len(self._population):
            raise StoreError(f"the shadow log {self.log.path} holds no pairs to review yet")
        self.labels.open()
        labelled = self._labelled()
        done = {choice.pair for choice in labelled}
        self._passed = [(choice, True) for choice in labelled]
        self._waiting = deque(choice for choice in self._population.order if choice.pair not in done)
        return self

    def settle(self) -> None:
        """Set the weights in the file for the labels that there are now; those whose pair left the log keep theirs."""
        weighted = self._population.weighted(self._labelled())
        self.labels.reweigh({choice.pair: choice.weight for choice in weighted})

    def close(self) -> None:
        """Set the weights, and let go of the file."""
        try:
            self.settle()
        finally:
            self.labels.close()

    # --- one pair after the other ------------------------------------------------------------------------------

    @property
    def current(self) -> Choice | None:
        """The pair that is asked about now; None when the review is done."""
        upcoming = self.upcoming(1)
        return upcoming[0] if upcoming else None

    def upcoming(self, count: int) -> list[Choice]:
        """Return the next pairs, at most as many as there are labels to go, with the answers of their records."""
        wanted = min(count, self.progress.left)
        for index, choice in enumerate(list(self._waiting)[:wanted]):
            self._waiting[index] = self._with_answers(choice)
        return list(self._waiting)[:wanted]

    def label(self, is_reusable: bool, *, origin: str = PERSON) -> None:
        """Say of the current pair whether the stored answer may be given for the question that was asked."""
        choice = self._next()
        weight = self._population.weight_of(choice, len(self.labels.rows) + 1)
        stored, asked = choice.pair
        self.labels.append(Label(stored, asked, is_reusable, weight, origin, self._clock(), choice.record.number))
        self._waiting.popleft()
        self._passed.append((choice, True))

    def skip(self) -> None:
        """Pass over the current pair: it is asked about again after all others."""
        choice = self._next()
        self._passed.append((choice, False))
        self._waiting.popleft()
        self._waiting.append(choice)

    def undo(self) -> bool:
        """Take back the last label or skip, and ask about its pair again; False where there is none to take back."""
        if not self._passed:
            return False
        choice, is_labelled = self._passed[-1]
        if is_labelled:
            if self.labels.rows[-1].pair != choice.pair:  # a label of an earlier session, whose pair left the log
                return False
            self.labels.remove_last()
        else:
            self._waiting.pop()
        self._passed.pop()
        self._waiting.appendleft(choice)
        return True

    @property
    def progress(self) -> Progress:
        rows = self.labels.rows
        last_said = {choice.pair: is_labelled for choice, is_labelled in self._passed}
        return Progress(
            labelled=len(rows),
            wanted=min(self._n, len(rows) + len(self._waiting)),
            skipped=sum(not is_labelled for is_labelled in last_said.values()),
            yes=sum(label.is_reusable for label in rows),
            by_judges=sum(label.origin != PERSON for label in rows),
            records=self._population.n_records,
            requests=self._population.n_requests,
            pairs=len(self._population),
        )

    # --- small parts -------------------------------------------------------------------------------------------

    def _next(self) -> Choice:
        if not self._waiting:
            raise ConfigError("the review is done: there is no pair left to say anything about")
        return self._waiting[0]

    def _labelled(self) -> list[Choice]:
        """Return the pairs of the log that have labels; those of labels whose pair left the log are not among them."""
        found = (self._population.find(pair) for pair in dict.fromkeys(label.pair for label in self.labels.rows))
        return [choice for choice in found if choice is not None]

    def _with_answers(self, choice: Choice) -> Choice:
        record = choice.record
        if record.number is None or record.stored_answer is not None or record.real_answer is not None:
            return choice
        read = self.log.read(record.number)
        return choice if read is None else replace(choice, record=read)
