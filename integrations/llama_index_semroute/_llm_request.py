"""Calls of an LLM as the core's requests: scope from the running context, conversation, model and arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

from llama_index.core.base.llms.types import ChatMessage, MessageRole

from llama_index_semroute import _messages
from llama_index_semroute._llm_identity import of_arguments, of_llm, temperature_of
from llama_index_semroute._llm_templates import question_in
from semroute.binding import bound
from semroute.cacheability import Cacheability, Facts, judge_cacheability
from semroute.calls.notices import Notices
from semroute.entry import JSON
from semroute.request import Message, Request, canonical, content_digest

if TYPE_CHECKING:
    from llama_index.core.llms.llm import LLM

    from semroute.cache import SemanticCache

QueryOf: TypeAlias = Callable[[Sequence[ChatMessage]], str | None]
"""Finds the user's own words in a conversation; None leaves that to the rules."""

_NOTHING: Final = ""
"""As a query: all of the conversation is context, so that only the very same one is served."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as the core's request."""

    request: Request
    why_bypassed: str | None = None
    """What speaks against keeping the answer, where that was found in a template and so not by the core."""


@dataclass(frozen=True, slots=True)
class Asker:
    """What `cached()` was told: the cache, how the user's words are found, and how hits come back."""

    cache: SemanticCache
    named: str | Path | Literal[False] | None = None
    """What the cache was named by, so that a pickled LLM finds it again; False for a cache that was given itself."""
    query: QueryOf | None = None
    identity: str | None = None
    replay_chunk_chars: int = 40
    notices: Notices = field(default_factory=partial(Notices, "semroute.llama_index"), compare=False, repr=False)

    def __copy__(self) -> Self:
        """Copies of an LLM share its cache."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def of_chat(self, llm: LLM, messages: Sequence[ChatMessage], arguments: Mapping[str, object]) -> Asked:
        """Build the request of `chat` and its streams; raises Unsure."""
        extras = _messages.extras(messages)
        return self._asked(llm, messages, arguments, {"extras": extras} if extras else {})

    def of_completion(self, llm: LLM, prompt: str, is_formatted: bool, arguments: Mapping[str, object]) -> Asked:
        """Build the request of `complete` and its streams; raises Unsure."""
        turn = ChatMessage(role=MessageRole.USER, content=prompt)
        form: dict[str, JSON] = {"completion": {"formatted": is_formatted}}
        return self._asked(llm, [turn], arguments, form, is_formatted=is_formatted)

    def _asked(
        self,
        llm: LLM,
        messages: Sequence[ChatMessage],
        arguments: Mapping[str, object],
        form: Mapping[str, JSON],
        *,
        is_formatted: bool = False,
    ) -> Asked:
        identity, temperature = of_llm(llm), temperature_of(llm, arguments)
        if identity.note is not None:
            self.notices.tell(identity.note)
        params: dict[str, JSON] = {
            "llama_index": content_digest(canonical(identity.form)),
            "arguments": of_arguments(arguments),
            **form,
        }
        if temperature is not None:
            params["temperature"] = temperature
        return self.of_params(messages, params, model=identity.model, is_formatted=is_formatted)

    def of_params(
        self,
        messages: Sequence[ChatMessage],
        params: Mapping[str, JSON],
        *,
        model: str | None = None,
        is_formatted: bool = False,
    ) -> Asked:
        """Build the request of a call, all of whose settings and arguments stand in `params`; raises Unsure."""
        binding, turns, words = bound(), _messages.of_messages(messages), self._named(messages)
        question = None if words is not None else _question(turns, is_formatted=is_formatted)
        request = Request.from_messages(
            turns,
            query=_NOTHING if question is not None else words,
            model=model,
            params=params,
            scope=binding.scope,
            tags=binding.tags,
            ttl=binding.ttl,
            bypass=binding.bypass,
        )
        return Asked(request) if question is None else self._perishing(request, question)

    def _named(self, messages: Sequence[ChatMessage]) -> str | None:
        """Return the user's words where the application names them."""
        words = bound().query
        return self.query(messages) if words is None and self.query is not None else words

    def _perishing(self, request: Request, question: str) -> Asked:
        """Apply the rules of wording to the question in a template, whose request has no words of its own."""
        rules = self.cache.rules
        facts = Facts(question, names_user=request.scope.user is not None)
        judgement = judge_cacheability(facts, rules.cacheability)
        if judgement.cacheability is Cacheability.BYPASS:
            return Asked(replace(request, bypass=True), None if request.bypass else judgement.reason)
        lives = (request.ttl, rules.lifetimes[judgement.freshness.staleness])
        return Asked(replace(request, ttl=min((life for life in lives if life is not None), default=None)))


def _question(turns: Sequence[Message], *, is_formatted: bool) -> str | None:
    """Return the question in a rendered turn, "" where it is not known, or None for a turn of the user's own words."""
    question = question_in(next((turn.text for turn in reversed(turns) if turn.role == "user"), ""))
    return _NOTHING if question is None and is_formatted else question
