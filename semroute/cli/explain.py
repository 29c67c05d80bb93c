"""`semroute explain`: a lookup as it would go, step by step; nothing is served, stored or counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from semroute.binding import scope
from semroute.cli._output import JsonOption, StoreOption, page, print_json
from semroute.cli._stores import opened
from semroute.cli.evaluate import VerifierOption
from semroute.entry import Candidate
from semroute.request import Digests, fold
from semroute.result import Nearest, Verdict

if TYPE_CHECKING:
    from semroute.cache import SemanticCache
    from semroute.entry import JSON, Entry
    from semroute.rehearsal import Trace
    from semroute.request import Request

_ELSEWHERE = 3
_IN_THE_APP = (
    "The calls of an application carry its model, settings and history. Explain one from inside the app, with its own "
    "cache and model: SemrouteCache.explain(model, question) in LangChain, else SemanticCache.explain(request)."
)
_COLOURS = {"l1": "green", "l1_alias": "green", "l2": "green", "miss": "yellow", "bypass": "cyan"}


@dataclass(frozen=True, slots=True)
class Explained:
    """The rehearsal of a lookup, and the nearest questions of other contexts with the same scope and system prompt.

    Those are out of reach by rule: another model, other settings or another history. They are shown because an
    application's calls carry settings that a question on the command line does not.
    """

    question: str
    trace: Trace
    elsewhere: tuple[Nearest, ...]
    namesakes: int = 0
    """Entries of the very same words under another scope or system prompt, of which nothing else is told."""

    @property
    def is_elsewhere(self) -> bool:
        """Whether another context holds an answer that would do here."""
        threshold = self.trace.explanation.threshold
        return any(_would_do(self.question, nearest, threshold) for nearest in self.elsewhere)

    @property
    def reason(self) -> str:
        """Return the reason of the lookup, or that what it looked for lies in other contexts."""
        if self.is_elsewhere:
            return "stored for another model, settings or history only"
        return self.trace.explanation.reason

    @property
    def advice(self) -> tuple[str, ...]:
        """Say how to reach what lies elsewhere, a sentence each."""
        told = []
        if self.namesakes:
            entries = (
                "1 entry of these very words lies"
                if self.namesakes == 1
                else (f"{self.namesakes:,} entries of these very words lie")
            )
            told.append(
                f"{entries} under another scope or system prompt: name it with --system, --tenant, --namespace, --user."
            )
        return (*told, _IN_THE_APP) if self.is_elsewhere or self.namesakes else ()

    def as_dict(self) -> dict[str, JSON]:
        """Return the object that `--json` prints."""
        explanation = self.trace.explanation
        return {
            "question": self.question,
            "reason": explanation.reason,
            **explanation.as_dict(),
            "steps": [{"name": step.name, "outcome": step.outcome, "ms": step.ms} for step in self.trace.steps],
            "candidates": [_candidate(nearest) for nearest in explanation.considered],
            "other_contexts": [_candidate(nearest) for nearest in self.elsewhere],
            "other_places": self.namesakes,
            "advice": list(self.advice),
            "failures": list(explanation.failures),
        }


def explain_command(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="The user's words.")],
    system: Annotated[str, typer.Option(help="The system prompt.")] = "",
    tenant: Annotated[str | None, typer.Option(help="The tenant who asks.")] = None,
    namespace: Annotated[str | None, typer.Option(help="The namespace.")] = None,
    user: Annotated[str | None, typer.Option(help="The user who asks.")] = None,
    model: Annotated[str | None, typer.Option(help="The model, where entries name one.")] = None,
    store: StoreOption = None,
    verifier: VerifierOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a lookup as it would go, step by step; nothing is served."""
    with opened(store, verifier) as cache, scope(tenant=tenant, namespace=namespace, user=user):
        explained = explain(cache, cache.request(question, system=system, model=model))
    if as_json:
        print_json(explained.as_dict())
    else:
        page().print(_page(explained))


def explain(cache: SemanticCache, request: Request) -> Explained:
    """Rehearse a lookup; raises StoreError or ConfigError where the store cannot be opened."""
    trace = cache.explain(request)
    found_nothing = trace.explanation.tier == "miss" and not trace.explanation.considered
    if not found_nothing:
        return Explained(request.query, trace, ())
    address = Digests(cache.store.open(), cache.settings.strip).address(request)
    words, entries, namesakes = fold(request.query), [], 0
    for entry in cache.store.scan():
        if entry.address.shard == address.shard:
            entries.append(entry)
        else:
            namesakes += fold(entry.query) == words
    return Explained(request.query, trace, _elsewhere(cache, request, entries), namesakes)


def _elsewhere(cache: SemanticCache, request: Request, entries: list[Entry]) -> tuple[Nearest, ...]:
    """Compare a question with those of the same scope and system prompt in other contexts, nearest first."""
    if not entries or not cache.embedder.fits(request.query):
        return ()
    vector, identity = cache.embedder.embed([request.query])[0], cache.embedder.identity
    near = [
        (float(vector @ entry.vector), entry)
        for entry in entries
        if entry.vector is not None and entry.embedder == identity
    ]
    near.sort(key=lambda pair: pair[0], reverse=True)
    return tuple(_judged(cache, request, entry, min(1.0, max(0.0, cosine))) for cosine, entry in near[:_ELSEWHERE])


def _judged(cache: SemanticCache, request: Request, entry: Entry, similarity: float) -> Nearest:
    candidate = Candidate(entry.id, entry.query, similarity)
    verdicts: list[Verdict] = []
    for guard in cache.rules.guards:
        verdicts.append(guard.check(request.query, candidate))
        if not verdicts[-1].passed:
            break
    return Nearest(candidate.id, candidate.query, similarity, tuple(verdicts))


def _would_do(question: str, nearest: Nearest, threshold: float | None) -> bool:
    if fold(nearest.query) == fold(question):
        return True
    is_near = threshold is not None and nearest.similarity >= threshold
    return is_near and all(verdict.passed for verdict in nearest.verdicts)


def _candidate(nearest: Nearest) -> dict[str, JSON]:
    return {
        "id": nearest.id,
        "query": nearest.query,
        "similarity": nearest.similarity,
        "verdicts": [{"guard": v.guard, "passed": v.passed, "why": v.why} for v in nearest.verdicts],
    }


def _page(explained: Explained) -> Group:
    explanation = explained.trace.explanation
    colour = _COLOURS[explanation.tier]
    parts: list[Text | Table] = [Text(explained.question, style="bold"), Text(), _steps(explained.trace), Text()]
    if explanation.considered:
        parts += [_candidates("candidate", explanation.considered), Text()]
    if explained.elsewhere:
        title = "asked with another model, settings or history"
        parts += [_candidates(title, explained.elsewhere), Text()]
    result = Text(explanation.tier, style=f"bold {colour}")
    result.append(f"  {explained.reason}", style="default not bold")
    if explanation.threshold is not None:
        result.append(f"  (threshold {explanation.threshold:.2f}, {explanation.threshold_from})", style="dim not bold")
    advice = (Text(sentence, style="dim") for sentence in explained.advice)
    return Group(*parts, result, *advice)


def _steps(trace: Trace) -> Table:
    table = Table("step", "what it brought", box=None, pad_edge=False, header_style="dim")
    table.add_column("ms", justify="right")
    for step in trace.steps:
        table.add_row(Text(step.name), Text(step.outcome), f"{step.ms:.2f}" if step.ms else "")
    return table


def _candidates(title: str, nearest: tuple[Nearest, ...]) -> Table:
    table = Table(title, box=None, pad_edge=False, header_style="dim")
    table.add_column("similarity", justify="right")
    table.add_column("verdict")
    for candidate in nearest:
        table.add_row(Text(candidate.query), f"{candidate.similarity:.3f}", _verdict(candidate))
    return table


def _verdict(candidate: Nearest) -> Text:
    refused = [verdict for verdict in candidate.verdicts if not verdict.passed]
    if refused:
        return Text(str(refused[0]), style="yellow")
    return Text("passed", style="green") if candidate.verdicts else Text("too far", style="dim")
