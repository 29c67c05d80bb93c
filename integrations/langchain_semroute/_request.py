"""LangChain's calls as the core's requests: scope from the running context, conversation, model and parameters."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

from langchain_semroute import _identity, _messages
from langchain_semroute._values import Unsure
from semroute.binding import bound
from semroute.calls.notices import Notices
from semroute.entry import JSON
from semroute.request import Message, Request, Scope, content_digest

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

    from langchain_semroute._identity import Identity
    from semroute.binding import Binding

_IDENTITIES_KEPT = 256
_WITHIN = "\x1f"
"""Parts the namespace of a view from that of a scope inside it."""


class Identities:
    """Identities that were read from `llm_string`s, by digest: an application uses few of them again and again."""

    def __init__(self, *, is_trusted: bool) -> None:
        self._is_trusted = is_trusted
        self._lock = Lock()
        self._known: OrderedDict[str, Identity | Unsure] = OrderedDict()

    def read(self, llm_string: str) -> Identity:
        """Return the identity; raises Unsure."""
        key = content_digest(llm_string)
        with self._lock:
            known = self._known.get(key)
        if known is None:
            known = self._parse(llm_string)
            with self._lock:
                self._known[key] = known
                if len(self._known) > _IDENTITIES_KEPT:
                    self._known.popitem(last=False)
        if isinstance(known, Unsure):
            raise Unsure(*known.args)
        return known

    def _parse(self, llm_string: str) -> Identity | Unsure:
        try:
            return _identity.of_llm_string(llm_string, is_trusted=self._is_trusted)
        except Unsure as doubt:
            return doubt


@dataclass(frozen=True, slots=True)
class Asker:
    """Builds requests for one view of a cache: its namespace, and how the user's words are found."""

    namespace: str | None = None
    query: Callable[[Sequence[BaseMessage]], str | None] | None = None
    identity: str | None = None
    """What a model is, said by the application for one that cannot say it itself."""
    notices: Notices = field(default_factory=partial(Notices, "semroute.langchain"), compare=False)

    def of_strings(self, prompt: str, llm_string: str, identities: Identities) -> Request:
        """Build the request of a cache's `(prompt, llm_string)`; raises Unsure."""
        return self._request(_messages.of_prompt(prompt), identities.read(llm_string), None)

    def of_call(
        self,
        model: BaseChatModel,
        messages: Sequence[BaseMessage],
        stop: list[str] | None,
        arguments: Mapping[str, object],
    ) -> Request:
        """Build the request of a model's call; raises Unsure."""
        identity = _identity.of_model(model, stop, arguments, self.identity)
        return self._request(_messages.of_objects(messages), identity, self._words(messages))

    def of_routed(self, messages: Sequence[BaseMessage], routed: JSON, temperature: float | None) -> Request:
        """Build the request of a routed call, whose models and parameters stand in `routed`; raises Unsure."""
        params: dict[str, JSON] = {"routed": routed}
        if temperature is not None:
            params["temperature"] = temperature
        return self._built(_messages.of_objects(messages), self._words(messages), None, params)

    def of_doubt(self, messages: Sequence[BaseMessage]) -> Request:
        """Build the request of a call that is never cached, for those that only want to know what is asked."""
        query = next((str(message.text) for message in reversed(messages) if message.type == "human"), "")
        scope, tags = self.scoped(bound())
        return Request(query, scope=scope, tags=tags, bypass=True)

    def _words(self, messages: Sequence[BaseMessage]) -> str | None:
        return None if self.query is None or bound().query is not None else self.query(messages)

    def _request(self, messages: Sequence[Message], identity: Identity, words: str | None) -> Request:
        if identity.note is not None:
            self.notices.tell(identity.note)
        params: dict[str, JSON] = {"llm": identity.digest}
        if identity.temperature is not None:
            params["temperature"] = identity.temperature
        return self._built(messages, words, identity.model, params)

    def _built(
        self, messages: Sequence[Message], words: str | None, model: str | None, params: Mapping[str, JSON]
    ) -> Request:
        binding = bound()
        scope, tags = self.scoped(binding)
        return Request.from_messages(
            messages,
            query=binding.query if words is None else words,
            model=model,
            params=params,
            scope=scope,
            tags=tags,
            ttl=binding.ttl,
            bypass=binding.bypass,
        )

    def scoped(self, binding: Binding) -> tuple[Scope, tuple[str, ...]]:
        """Return scope and tags of a call: a namespace of the running scope lies within that of the view."""
        scope, tags = binding.scope, binding.tags
        if self.namespace is None:
            return scope, tags
        if scope.namespace is None:
            return Scope(scope.tenant, self.namespace, scope.user), tags
        within = f"{self.namespace}{_WITHIN}{scope.namespace}"
        return Scope(scope.tenant, within, scope.user), (*tags, inner_tag(self.namespace))


def inner_tag(namespace: str) -> str:
    """Return the tag of answers that were stored in a scope's namespace within the given one of a view."""
    return f"{_WITHIN}within{_WITHIN}{namespace}"
