"""What a chain answers, as plain JSON with a version and back: text, JSON, documents, messages, one named class.

What the chain has only handed through from its input is no part of the answer: a hit has the asker's own in its place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, messages_from_dict
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables.utils import AddableDict
from pydantic import BaseModel

from langchain_semroute import _codec, _fresh
from semroute.calls.values import Unsure
from semroute.entry import JSON, Answer
from semroute.result import Explanation

VERSION = 1

Restore: TypeAlias = Callable[[JSON], object]
"""Makes a model's message of its stored form."""


@dataclass(frozen=True, slots=True)
class ChainCodec:
    """Writes and reads outputs; `output` is the pydantic class that a chain answers with, if it does."""

    output: type[BaseModel] | None = None

    def encode(self, output: object, given: object) -> JSON:
        """Return the form of a settled output; raises Unsure for one that would not come back as it is."""
        payload: JSON = {"v": VERSION, "output": self._whole(output, given)}
        try:
            again = self.decode(json.loads(json.dumps(payload)), given, _as_stored)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise Unsure(f"an output of type {type(output).__name__} cannot be written as JSON: {error}") from error
        if again != output:
            raise Unsure(f"an output of type {type(output).__name__} is not the same after it was written as JSON")
        return payload

    def decode(self, payload: JSON, given: object, restore: Restore) -> object:
        """Return the output of a payload; raises ValueError, TypeError or KeyError for what `encode` did not make."""
        if not isinstance(payload, dict) or payload.get("v") != VERSION:
            raise ValueError("the payload is damaged or of another version")
        return self._output(payload["output"], given, restore)

    def _whole(self, output: object, given: object) -> JSON:
        if type(output) is not dict:
            return self._form(output)
        parts: list[JSON] = [[key, self._form(value, _place(given, key, value))] for key, value in output.items()]
        if not all(isinstance(key, str) for key in output):
            raise Unsure("an output has keys that are no strings")
        return {"object": parts}

    def _form(self, value: object, place: JSON = None) -> JSON:
        if place is not None:
            return {"given": place}
        kind = type(value)
        match value:
            case Enum():
                raise Unsure(f"an output holds a value of type {kind.__qualname__}")
            case None | bool() | int() | float() | str():
                return value
            case list() if kind is list:
                return [self._form(item) for item in value]
            case tuple() if kind is tuple:
                return {"tuple": [self._form(item) for item in value]}
            case dict() if kind is dict and all(isinstance(key, str) for key in value):
                return {"object": [[key, self._form(item)] for key, item in value.items()]}
            case _:
                return self._object_form(value)

    def _object_form(self, value: object) -> JSON:
        kind = type(value)
        match value:
            case Document() if kind is Document:
                return {"document": [value.id, value.page_content, self._form(value.metadata)]}
            case AIMessage() if kind is AIMessage:
                return {"answer": _message_form(value)}
            case BaseMessage():
                return {"message": {"type": value.type, "data": value.model_dump(mode="json", warnings=False)}}
            case BaseModel() if kind is self.output:
                return {"model": value.model_dump(mode="json", warnings=False)}
            case _:
                raise Unsure(f"an output holds an object of type {kind.__qualname__}")

    def _output(self, form: JSON, given: object, restore: Restore) -> object:
        if isinstance(form, list):
            return [self._output(item, given, restore) for item in form]
        if not isinstance(form, dict):
            return form
        [(kind, inner)] = form.items()
        match kind, inner:
            case "object", list():
                return {str(key): self._output(item, given, restore) for key, item in map(_pair, inner)}
            case "tuple", list():
                return tuple(self._output(item, given, restore) for item in inner)
            case "document", [identity, str(text), metadata]:
                kept = self._output(metadata, given, restore)
                return Document.model_validate({"id": identity, "page_content": text, "metadata": kept})
            case "answer", _:
                return restore(inner)
            case "message", dict():
                return messages_from_dict([inner])[0]
            case "model", _ if self.output is not None:
                return self.output.model_validate(inner)
            case "given", list():
                return _at(given, inner)
            case _:
                raise ValueError(f"a value of unknown kind {kind!r}")


def settled(output: object, given: object) -> object:
    """Return an output as it is when nothing more is to come: messages for chunks, without marks of an inner cache."""
    if not isinstance(output, dict) or type(output) not in (dict, AddableDict):
        return _settled(output)
    return {key: value if is_given(given, value) else _settled(value) for key, value in output.items()}


def _settled(value: object) -> object:
    match value:
        case BaseMessage():
            whole = _codec.whole(value)
            if _codec.MARKER not in whole.response_metadata:
                return whole
            kept = {key: one for key, one in whole.response_metadata.items() if key != _codec.MARKER}
            return whole.model_copy(update={"response_metadata": kept})
        case dict() if type(value) in (dict, AddableDict):
            return {key: _settled(item) for key, item in value.items()}
        case list() | tuple() if type(value) in (list, tuple):
            return type(value)(map(_settled, value))
        case _:
            return value


def is_given(given: object, value: object) -> bool:
    """Say whether a part of an output is a part of the input that was handed through."""
    return _place(given, "", value) is not None


def refreshed(explanation: Explanation, usage: _fresh.UsageMode) -> Restore:
    """Return what makes of a stored message a fresh one for this caller, marked with how it came about."""

    def restore(form: JSON) -> object:
        payload: JSON = {"v": _codec.VERSION, "generations": [form]}
        revived = _fresh.revive(Answer("", payload=payload), explanation, usage)
        if not revived or not isinstance(revived[0], ChatGeneration):
            raise ValueError("a message cannot be read")
        return revived[0].message

    return restore


def messages_in(value: object) -> Iterator[AIMessage]:
    """Yield the models' messages in an output."""
    match value:
        case AIMessage():
            yield value
        case dict():
            for item in value.values():
                yield from messages_in(item)
        case list() | tuple():
            for item in value:
                yield from messages_in(item)


def documents_in(value: object) -> Iterator[Document]:
    """Yield the documents in an output."""
    match value:
        case Document():
            yield value
        case dict():
            for item in value.values():
                yield from documents_in(item)
        case list() | tuple():
            for item in value:
                yield from documents_in(item)


def _message_form(message: AIMessage) -> JSON:
    answer = _codec.encode([ChatGeneration(message=message)])
    forms = None if answer is None else _codec.forms_of(answer.payload)
    if not forms:
        raise Unsure("a message cannot be written as JSON")
    return forms[0]


def _as_stored(form: JSON) -> object:
    if not isinstance(form, dict):
        raise TypeError("a message is no object")
    generation = _codec.decode([form])[0]
    return generation.message if isinstance(generation, ChatGeneration) else generation


def _place(given: object, key: str, value: object) -> JSON:
    """Return where the very object stands in the input, as a path; None where it does not.

    Only objects that are the same count: an answer that happens to read like the question is still the answer.
    """
    if value is None or isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) < 2):
        return None
    if value is given:
        return []
    if not isinstance(given, Mapping):
        return None
    if given.get(key) is value:
        return [key]
    names = (name for name, one in given.items() if one is value and isinstance(name, str))
    name = next(names, None)
    return None if name is None else [name]


def _at(given: object, place: list[JSON]) -> object:
    if not place:
        return given
    if not isinstance(given, Mapping):
        raise TypeError("the input has no such part")
    return given[place[0]]


def _pair(item: JSON) -> tuple[JSON, JSON]:
    if not isinstance(item, list) or len(item) != 2:
        raise TypeError("an object is damaged")
    return item[0], item[1]
