"""The review in a notebook: buttons over the same session that the command line uses."""

from __future__ import annotations

import html
import importlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from semroute.errors import MissingExtra, SemrouteError
from semroute.review.labels import LabelsFile
from semroute.review.session import DEFAULT_N, ReviewSession

if TYPE_CHECKING:
    from semroute.entry import Answer
    from semroute.review.choosing import Choice
    from semroute.review.log import ShadowLog

_STYLE: Final = "display:grid;grid-template-columns:1fr 1fr;gap:.5em 1.5em;max-width:60em;line-height:1.4"
_QUESTION_STYLE: Final = "font-weight:bold;white-space:pre-wrap;overflow-wrap:anywhere"
_ANSWER_STYLE: Final = "white-space:pre-wrap;overflow-wrap:anywhere;max-height:20em;overflow-y:auto"
_MUTED: Final = "opacity:.65"


def review(
    log: str | os.PathLike[str] | ShadowLog | None = None,
    labels: str | os.PathLike[str] | LabelsFile = "labels.csv",
    *,
    n: int = DEFAULT_N,
) -> ReviewWidget:
    """Show a review in a notebook; arguments and errors are those of `ReviewSession`.

    Raises MissingExtra without ipywidgets.
    """
    return ReviewWidget(ReviewSession(log, labels, n=n))


class ReviewWidget:
    """A review with buttons: yes, no, skip, undo.

    Every answer is in the labels file when its button comes back, with the weights of the labels that there are then.
    """

    def __init__(self, session: ReviewSession) -> None:
        widgets = _ipywidgets()
        self.session = session.open()
        self.bar = widgets.IntProgress(min=0, layout=widgets.Layout(width="20em"))
        self.count = widgets.Label()
        self.pair = widgets.HTML()
        self.yes = widgets.Button(description="yes", button_style="success", tooltip="the answer may be given")
        self.no = widgets.Button(description="no", button_style="danger", tooltip="it is another question")
        self.skip = widgets.Button(description="skip", tooltip="ask about this pair again after all others")
        self.undo = widgets.Button(description="undo", tooltip="take the last answer back")
        self.message = widgets.HTML()
        self._buttons = widgets.HBox([self.yes, self.no, self.skip, self.undo])
        self.box = widgets.VBox(
            [widgets.HBox([self.bar, self.count]), self.pair, self._buttons, self.message],
        )
        self.yes.on_click(lambda _: self._act(lambda: session.label(True)))
        self.no.on_click(lambda _: self._act(lambda: session.label(False)))
        self.skip.on_click(lambda _: self._act(session.skip))
        self.undo.on_click(lambda _: self._act(session.undo))
        self._show()

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return self.box._repr_mimebundle_(**kwargs)

    def close(self) -> None:
        """Let go of the labels file, and take the buttons off the page."""
        self.session.close()
        self.box.close()

    def _act(self, act: Callable[[], object]) -> None:
        """Do what a button stands for; what goes wrong is shown, since nobody reads a traceback of a button."""
        self.message.value = ""
        try:
            act()
            self.session.settle()
        except SemrouteError as error:
            self.message.value = f"<b>{html.escape(str(error))}</b>"
        self._show()

    def _show(self) -> None:
        progress = self.session.progress
        choice = self.session.current
        self.bar.max = max(1, progress.wanted)
        self.bar.value = progress.labelled
        self.count.value = f"{progress.labelled} of {progress.wanted} labelled, {progress.skipped} skipped"
        for button in (self.yes, self.no, self.skip):
            button.disabled = choice is None
        if choice is not None:
            self.pair.value = pair_html(choice)
            return
        self.pair.value = (
            f"<b>Done:</b> {progress.labelled} labels ({progress.yes} yes, {progress.labelled - progress.yes} no) in "
            f"<code>{html.escape(str(self.session.labels.path))}</code>"
        )


def pair_html(choice: Choice) -> str:
    """Return a pair as HTML: both questions and both answers side by side; strangers' texts are only ever text."""
    record = choice.record
    outcome = "was served" if record.was_served else "would be served" if record.would_serve else "would not be served"
    facts = [outcome, f"similarity {record.similarity:.3f}"]
    if record.p_reusable is not None:
        facts.append(f"P(reusable) {record.p_reusable:.2f}")
    if choice.times > 1:
        facts.append(f"asked {choice.times} times")
    cells = (
        _cell("stored", _MUTED),
        _cell("asked", _MUTED),
        _cell(record.candidate, _QUESTION_STYLE),
        _cell(record.query, _QUESTION_STYLE),
        _answer_cell(record.stored_answer, "the answer in the cache was not kept"),
        _answer_cell(record.real_answer, "the model was not asked"),
    )
    refusals = "".join(_cell(str(verdict), _MUTED) for verdict in record.verdicts if not verdict.passed)
    return (
        f'<div style="{_STYLE}">{"".join(cells)}</div>{_cell(" · ".join(facts), _MUTED)}{refusals}'
        "<p>May the stored answer be given for the question that was asked?</p>"
    )


def _answer_cell(answer: Answer | None, otherwise: str) -> str:
    return _cell(otherwise, _MUTED) if answer is None else _cell(answer.text, _ANSWER_STYLE)


def _cell(text: str, style: str) -> str:
    return f'<div style="{style}" dir="auto">{html.escape(text)}</div>'


def _ipywidgets() -> Any:
    try:
        return importlib.import_module("ipywidgets")
    except ImportError as error:
        raise MissingExtra("the review widget", "notebook") from error
