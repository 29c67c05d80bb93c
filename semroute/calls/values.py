"""Plain values out of what a framework hands over: JSON where it is certain, `Unsure` where it is not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache

from pydantic import BaseModel, TypeAdapter

from semroute.entry import JSON
from semroute.errors import SemrouteError
from semroute.request import canonical, content_digest

LONG_CHARACTERS = 512
"""Strings longer than this (images in base64, files) stand in keys by their digest."""


class Unsure(SemrouteError):
    """A call cannot be told apart from another one with certainty, so it is neither looked up nor stored."""


def plain(value: object) -> JSON:
    """Return a value as JSON that is equal in every process; raises Unsure where there is no such form.

    Classes count as the schema that they describe, because their name alone does not tell two schemas apart.
    """
    match value:
        case Enum():
            return [f"{type(value).__module__}.{type(value).__qualname__}", plain(value.value)]
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else repr(value)
        case str():
            return value if len(value) <= LONG_CHARACTERS else f"digest:{content_digest(value)}"
        case bytes():
            return f"digest:{content_digest(value)}"
        case Mapping():
            return plain_mapping(value)
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return _plain_object(value)


def _plain_object(value: object) -> JSON:
    match value:
        case set() | frozenset():
            return sorted((plain(item) for item in value), key=canonical)
        case type():
            return schema_digest(value)
        case BaseModel():
            return [f"{type(value).__module__}.{type(value).__qualname__}", plain(_dumped(value))]
        case _:
            raise Unsure(f"a value of type {type(value).__qualname__} has no form that is equal in every process")


def plain_mapping(mapping: Mapping[object, object]) -> dict[str, JSON]:
    """Return a mapping as a JSON object; keys that are no strings are marked as such. Raises Unsure."""
    return {key if isinstance(key, str) else f"key:{key!r}": plain(value) for key, value in mapping.items()}


@lru_cache(maxsize=256)
def schema_digest(kind: type) -> str:
    """Name a class by its name and the JSON schema of its fields; raises Unsure for one that has none."""
    try:
        schema = TypeAdapter(kind).json_schema()
    # pydantic raises errors of many kinds for classes it cannot describe; each means the same here.
    except Exception as error:
        raise Unsure(f"the class {kind.__qualname__} describes no schema") from error
    return f"schema:{kind.__name__}:{content_digest(canonical(plain(schema)))}"


def _dumped(value: BaseModel) -> dict[str, object]:
    try:
        return value.model_dump(mode="json")
    except ValueError as error:
        raise Unsure(f"a value of type {type(value).__qualname__} cannot be written as JSON") from error
