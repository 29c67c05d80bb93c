"""The input of a chain, taken apart: the user's words, the conversation before them, and all the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.prompt_values import PromptValue

from langchain_semroute import _messages
from semroute.calls.values import Unsure, plain
from semroute.entry import JSON
from semroute.request import SLOT, Message

QueryOf: TypeAlias = str | Callable[[Any], str | None]
"""The key of the user's words in a chain's input, or a function that finds them there."""

_KEYS: Final = ("input", "question", "query")


@dataclass(frozen=True, slots=True)
class Question:
    """What a chain is asked: a conversation that the user's words end, and the rest of the input as context."""

    messages: tuple[Message, ...]
    rest: JSON = None


def question_of(given: object, query: QueryOf | None) -> Question:
    """Take an input apart; raises Unsure where the user's words are not to be found for certain."""
    if query is not None and not isinstance(query, str):
        return _found(given, query(given))
    if not isinstance(given, Mapping):
        return Question(_conversation(given))
    key = _key(given, query)
    rest = {name: value for name, value in given.items() if name != key}
    return Question(_conversation(given[key]), context_form(rest))


def context_form(value: object, words: str | None = None) -> JSON:
    """Return a part of an input as JSON that is equal in every process, with a slot wherever `words` stand in it."""
    match value:
        case str() if words is not None and words in value:
            return plain(value.replace(words, SLOT))
        case BaseMessage():
            return context_form([value], words)
        case Document():
            return context_form({"text": value.page_content, "metadata": value.metadata, "id": value.id}, words)
        case PromptValue():
            return context_form(value.to_messages(), words)
        case Mapping():
            return {_name(key): context_form(item, words) for key, item in value.items()}
        case list() | tuple() if _are_messages(value):
            return context_form([turn.canonical() for turn in _messages.of_objects(value)], words)
        case list() | tuple():
            return [context_form(item, words) for item in value]
        case _:
            return plain(value)


def _found(given: object, words: object) -> Question:
    if not isinstance(words, str) or not words.strip():
        raise Unsure(f"query= found no words in an input of type {type(given).__name__}")
    return Question((Message("user", words),), context_form(given, words))


def _conversation(value: object) -> tuple[Message, ...]:
    match value:
        case str():
            return (Message("user", value),)
        case BaseMessage():
            return tuple(_messages.of_objects([value]))
        case PromptValue():
            return tuple(_messages.of_objects(value.to_messages()))
        case list() | tuple() if value and _are_messages(value):
            return tuple(_messages.of_objects(value))
        case _:
            raise Unsure(
                f"the user's words are not to be found in a {type(value).__name__}: give cached_chain() query="
            )


def _key(given: Mapping[object, object], query: str | None) -> object:
    if query is not None:
        if query not in given:
            raise Unsure(f"the input has no key {query!r}, which query= names")
        return query
    named = next((key for key in _KEYS if isinstance(given.get(key), str)), None)
    if named is not None:
        return named
    texts = [key for key, value in given.items() if isinstance(value, str)]
    if len(texts) == 1:
        return texts[0]
    if not texts and "messages" in given:
        return "messages"
    raise Unsure(f"the user's words may be under any of {sorted(map(str, given))}: give cached_chain() query='the key'")


def _are_messages(values: Sequence[object]) -> bool:
    return bool(values) and all(isinstance(value, BaseMessage) for value in values)


def _name(key: object) -> str:
    return key if isinstance(key, str) else f"key:{key!r}"
