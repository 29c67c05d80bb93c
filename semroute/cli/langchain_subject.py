"""The LangChain application of a replay: every request goes through a routed or a cached model, as is usual."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_semroute import RoutedModel, cached
from pydantic import ConfigDict, Field

from semroute.binding import scope
from semroute.cli.replay import Reply
from semroute.cli.stand_in import ROUTED, TERMS, Accountant, catalog_of, terms_of
from semroute.errors import ConfigError, SemrouteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.runnables import Runnable

    from semroute.cache import SemanticCache
    from semroute.cli.stream import Row, Turn
    from semroute.result import Hit, Saved

_GROUP: Final = "stand-ins"


class Cue:
    """What the stand-in is to say next, what that consumes, and how long it really took to say it."""

    def __init__(self, accountant: Accountant) -> None:
        self.accountant = accountant
        self.row: Row | None = None
        self.spent_s = 0.0


class StandInChatModel(BaseChatModel):
    """A chat model that says what the stream says; its tokens are counted, its latency is stated and not slept."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    model_name: str
    cue: Cue = Field(exclude=True)

    @property
    def _llm_type(self) -> str:
        return "semroute-stand-in"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name}

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        began = time.perf_counter()
        row = self.cue.row
        if row is None:
            raise ConfigError("the stand-in model was called outside a replay")
        usage = self.cue.accountant.usage(row)
        message = AIMessage(
            row.answer_text,
            usage_metadata={
                "input_tokens": usage.input_tokens,
                "output_tokens": usage.output_tokens,
                "total_tokens": usage.total_tokens,
            },
            response_metadata={"model_name": self.model_name, "finish_reason": "stop"},
        )
        self.cue.spent_s += time.perf_counter() - began
        return ChatResult(generations=[ChatGeneration(message=message)])


class StandInSubject:
    """Asks stand-in models: the router's choice for requests that leave it open, else the one that is named.

    The choice is within one route group. A model that the stream names gets exactly those requests, and shares no
    answer with the group.
    """

    def __init__(self, cache: SemanticCache, accountant: Accountant) -> None:
        self._cache = cache
        self._cue = Cue(accountant)
        models = {name: StandInChatModel(model_name=name, cue=self._cue) for name in TERMS}
        self._routed = RoutedModel(models, cache=cache, catalog=catalog_of(), group=_GROUP)
        self._others: dict[str, BaseChatModel] = {}

    def ask(self, row: Row) -> Reply:
        """Ask for the row's answer, through LangChain and the cache."""
        model = self._model(row.model)
        self._cue.row, self._cue.spent_s = row, 0.0
        with scope(tenant=row.tenant):
            message: AIMessage = model.invoke(messages_of(row))
        return Reply(message.text, self._cue.spent_s)

    def saved_by(self, row: Row, hit: Hit) -> Saved | None:
        """Return what the first call had cost, and how long the stand-in that made it states that it took."""
        told, answer = hit.explanation.saved, hit.answer
        if told is None or told.usd is None or answer.usage is None or answer.model is None:
            return self._cue.accountant.saved(row)
        return replace(told, seconds=terms_of(answer.model).seconds(answer.usage))

    def is_right(self, row: Row, text: str) -> bool:
        """Compare with the one answer that the stand-in gives."""
        return text == row.answer_text

    def _model(self, name: str) -> Runnable[LanguageModelInput, Any]:
        """Return what answers the requests that name a model; one that is in no catalogue is asked without a router."""
        if name == ROUTED:
            return self._routed
        if name in TERMS:
            return self._routed.bind(model=name)
        if name not in self._others:
            stand_in = StandInChatModel(model_name=name, cue=self._cue)
            self._others[name] = cached(stand_in, cache=self._cache)
        return self._others[name]


class RealSubject:
    """Asks one real model, whatever model the stream names."""

    def __init__(self, cache: SemanticCache, model: BaseChatModel, name: str) -> None:
        self._model = cached(model, cache=cache)
        self._name = name

    def ask(self, row: Row) -> Reply:
        """Ask the model, through LangChain and the cache. Raises SemrouteError where the provider fails."""
        with scope(tenant=row.tenant):
            try:
                message = self._model.invoke(messages_of(row))
            except Exception as error:  # each provider raises errors of its own; a person needs one sentence
                raise SemrouteError(f"{self._name} failed: {type(error).__name__}: {error}") from error
        return Reply(message.text, 0.0)

    def saved_by(self, row: Row, hit: Hit) -> Saved | None:
        """Return what the first call had cost, as far as its provider told."""
        return hit.explanation.saved

    def is_right(self, row: Row, text: str) -> bool:
        """Take it for right: a real model's words cannot be compared, and such hits are counted apart."""
        return True


def messages_of(row: Row) -> Sequence[BaseMessage]:
    """Return a row's conversation as LangChain messages."""
    head: list[BaseMessage] = [SystemMessage(row.system)] if row.system else []
    return [*head, *(_message(turn) for turn in row.history), HumanMessage(row.query)]


def _message(turn: Turn) -> BaseMessage:
    kinds: dict[str, type[BaseMessage]] = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
    return kinds[turn.role](content=turn.content)
