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
from semroute.request import Digests
from semroute.result import Nearest, Verdict

if TYPE_CHECKING:
    from semroute.cache import SemanticCache
    from semroute.entry import JSON, Entry
    from semroute.rehearsal import Trace
    from semroute.request import Request

_ELSEWHERE = 3
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
    elsewhere = _elsewhere(cache, request) if found_nothing else ()
    return Explained(request.query, trace, elsewhere)


def _elsewhere(cache: SemanticCache, request: Request) -> tuple[Nearest, ...]:
    """Compare a question with those of the same scope and system prompt in other contexts, nearest first."""
    address = Digests(cache.store.open(), cache.settings.strip).address(request)
    entries = [entry for entry in cache.store.scan() if entry.address.shard == address.shard]
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
    reason = "stored for another model, settings or history only" if explained.elsewhere else explanation.reason
    result.append(f"  {reason}", style="default not bold")
    if explanation.threshold is not None:
        result.append(f"  (threshold {explanation.threshold:.2f}, {explanation.threshold_from})", style="dim not bold")
    return Group(*parts, result)


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
