"""What a routed call asks of whichever LLM answers it: in a form that is the same for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from llama_index.core.base.llms.types import ChatMessage, ImageBlock, MessageRole

from llama_index_semroute import _messages
from llama_index_semroute._llm_call import LLMCall
from llama_index_semroute._llm_identity import of_arguments
from llama_index_semroute._llm_request import Asked, Asker
from llama_index_semroute._llm_templates import question_in
from semroute.entry import JSON
from semroute.errors import ConfigError
from semroute.request import canonical
from semroute.router.catalog import Needs

if TYPE_CHECKING:
    from llama_index.core.tools.types import BaseTool

    from llama_index_semroute._llm_codec import Kind, Reply
    from semroute.trail import Ahead

_CHARS_PER_TOKEN: Final = 4
_TOOL_ARGUMENTS: Final = ("user_msg", "chat_history", "verbose", "allow_parallel_tool_calls", "tool_required")
"""Of `chat_with_tools`, after the tools, in their order."""


@dataclass(frozen=True, slots=True)
class RoutedAsked:
    """One call of a routed LLM: messages, tools, and the call's own arguments."""

    kind: Kind
    messages: Sequence[ChatMessage]
    arguments: Mapping[str, Any]
    tools: Sequence[BaseTool] = ()
    is_formatted: bool = False

    def form(self) -> dict[str, JSON]:
        """Return all that must be equal for an answer to be reused, but the messages and the models; raises Unsure."""
        return {
            "kind": self.kind,
            "formatted": self.is_formatted,
            "arguments": of_arguments(self.arguments),
            "extras": _messages.extras(self.messages),
            **of_arguments({"tools": list(self.tools)}),
        }

    @property
    def words(self) -> str | None:
        """The user's words in a rendered template, for the router; None where the last turn is their own."""
        said = (message.content for message in reversed(self.messages) if message.role is MessageRole.USER)
        turn = next((text for text in said if text is not None), "")
        question = question_in(turn)
        if question is None and not self.is_formatted:
            return None
        return question if question is not None and question.strip() else turn

    def needs(self, least_tier: int, *, counts_tokens: bool) -> Needs:
        """Return what the models must be able to do; tokens are counted only where a model has a limit."""
        return Needs(
            tools=bool(self.tools) or bool(self.arguments.get("tools")),
            vision=any(isinstance(block, ImageBlock) for message in self.messages for block in message.blocks),
            structured_output=self.arguments.get("response_format") is not None,
            tokens=sum(map(len, self._texts())) // _CHARS_PER_TOKEN if counts_tokens else 0,
            least_tier=least_tier,
        )

    def given(self) -> dict[str, Any]:
        """Return the arguments of a call with tools, in fresh lists: integrations add the user's turn to theirs."""
        return {"tools": list(self.tools), "chat_history": list(self.messages), **self.arguments}

    def _texts(self) -> Iterator[str]:
        """Yield what a prompt is made of, about."""
        for message in self.messages:
            yield "" if message.content is None else message.content
        for tool in self.tools:
            yield tool.metadata.description
            yield canonical(tool.metadata.get_parameters_dict())


def chat_asked(messages: Sequence[ChatMessage], arguments: dict[str, Any]) -> tuple[RoutedAsked, str | None]:
    """Return what `chat` and its streams ask, and the model that they name."""
    named = _named(arguments)
    return RoutedAsked("chat", messages, arguments), named


def completion_asked(prompt: str, is_formatted: bool, arguments: dict[str, Any]) -> tuple[RoutedAsked, str | None]:
    """Return what `complete` and its streams ask, and the model that they name."""
    named, turn = _named(arguments), ChatMessage(role=MessageRole.USER, content=prompt)
    return RoutedAsked("completion", [turn], arguments, is_formatted=is_formatted), named


def tools_asked(
    tools: Sequence[BaseTool], args: Sequence[Any], arguments: dict[str, Any]
) -> tuple[RoutedAsked, str | None]:
    """Return what `chat_with_tools` and its streams ask, and the model that they name."""
    given = {**dict(zip(_TOOL_ARGUMENTS, args, strict=False)), **arguments}
    history, user = given.pop("chat_history", None), given.pop("user_msg", None)
    turns = [] if history is None else list(history)
    if user is not None and user != "":
        turns.append(ChatMessage(role=MessageRole.USER, content=user) if isinstance(user, str) else user)
    named = _named(given)
    return RoutedAsked("chat", turns, given, tools=tuple(tools)), named


def _named(arguments: dict[str, Any]) -> str | None:
    """Take the name of a model out of the arguments of a call."""
    named = arguments.pop("model", None)
    if named is not None and not isinstance(named, str):
        raise ConfigError(f"model must be the name of a model in the catalogue, not {named!r}")
    return named


class RoutedLLMCall(LLMCall):
    """A call on its way through the cache, whose lookup may know something already."""

    def __init__(self, asker: Asker, asked: Asked, kind: Kind, ahead: Ahead | None) -> None:
        super().__init__(asker, asked, kind)
        self._ahead = ahead

    def served(self) -> Reply | None:
        """Return what the cache serves, and tell LlamaIndex's handlers how that went."""
        return self._announced(super().served())

    async def aserved(self) -> Reply | None:
        """Do what `served` does, without ever blocking the event loop."""
        return self._announced(await super().aserved())
