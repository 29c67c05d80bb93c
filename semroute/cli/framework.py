"""What a replayed application is built with: a framework, and the models that answer in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from semroute.cli._models import chat_model, check_model_name
from semroute.cli._output import UsageError
from semroute.errors import MissingExtra

if TYPE_CHECKING:
    from semroute.cache import SemanticCache
    from semroute.cli.replay import Subject
    from semroute.cli.report import ReplayReport
    from semroute.cli.stand_in import Accountant
    from semroute.cli.stream import Stream

STAND_IN: Final = "stand-in"


class Framework(StrEnum):
    """What the replayed application is built with."""

    LANGCHAIN = "langchain"
    LLAMA_INDEX = "llama-index"

    @property
    def brand(self) -> str:
        """The name as its makers write it."""
        return "LangChain" if self is Framework.LANGCHAIN else "LlamaIndex"


FrameworkOption = Annotated[
    Framework,
    typer.Option(
        "--framework",
        help="What the application is built with: langchain (a routed model), or llama-index (query engines over an "
        "index, without a router).",
    ),
]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="'stand-in' (two, and a router), or a real one: PROVIDER:NAME (openai:gpt-4o-mini).",
    ),
]


def check_model(model: str, framework: Framework) -> None:
    """Raise UsageError for a model that the framework is not asked with."""
    if model == STAND_IN:
        return
    check_model_name(model)
    if framework is not Framework.LANGCHAIN:
        raise UsageError(f"--framework {framework} is played with stand-in models only: leave --model out")


@dataclass(frozen=True, slots=True)
class Player:
    """What answers the requests."""

    subject: Subject
    tokens_estimated: bool
    spent_usd: Callable[[], float] | None = None
    """Says what the calls have cost, where the cache's ledger could only estimate it."""

    def settled(self, report: ReplayReport) -> ReplayReport:
        """Put what the calls have really cost in the place of the ledger's estimate."""
        if self.spent_usd is None:
            return report
        return replace(report, costs=replace(report.costs, spent_usd=self.spent_usd(), estimated_usd=0.0))


def player_of(framework: Framework, cache: SemanticCache, stream: Stream, model: str) -> Player:
    """Set up the application that is replayed; raises MissingExtra where its framework is not installed."""
    if framework is Framework.LLAMA_INDEX:
        return _llama_index_player(cache, stream)
    return _langchain_player(cache, model)


def _langchain_player(cache: SemanticCache, model: str) -> Player:
    try:
        from semroute.cli import langchain_subject
    except ImportError as error:
        raise MissingExtra("a replay", "langchain") from error
    if model != STAND_IN:
        return Player(langchain_subject.RealSubject(cache, chat_model(model), model), tokens_estimated=False)
    accountant = _accountant()
    return Player(langchain_subject.StandInSubject(cache, accountant), accountant.counter.is_estimate)


def _llama_index_player(cache: SemanticCache, stream: Stream) -> Player:
    try:
        from semroute.cli import llama_index_subject
    except ImportError as error:
        raise MissingExtra("a replay through LlamaIndex", "llama-index") from error
    accountant = _accountant()
    subject = llama_index_subject.StandInSubject(cache, accountant, stream.rows)
    return Player(subject, accountant.counter.is_estimate, lambda: subject.spent_usd)


def _accountant() -> Accountant:
    from semroute.cli.stand_in import Accountant
    from semroute.cli.tokens import token_counter

    return Accountant(token_counter())
