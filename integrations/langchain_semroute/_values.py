"""Plain values out of what LangChain has serialised: its wraps undone, and refused where it has given up."""

from __future__ import annotations

from collections.abc import Mapping

from semroute.calls import values
from semroute.calls.values import Unsure
from semroute.entry import JSON

__all__ = ["Unsure", "plain"]

_ESCAPED = "__lc_escaped__"


def plain(value: object) -> JSON:
    """Return a value as JSON that is equal in every process; raises Unsure where there is no such form."""
    return values.plain(_unwrapped(value))


def _unwrapped(value: object) -> object:
    match value:
        case Mapping():
            return _unwrapped_mapping(value)
        case list() | tuple():
            return [_unwrapped(item) for item in value]
        case _:
            return value


def _unwrapped_mapping(mapping: Mapping[object, object]) -> Mapping[object, object]:
    inner = mapping.get(_ESCAPED)
    if isinstance(inner, Mapping) and len(mapping) == 1:
        return _unwrapped_mapping(inner)
    if mapping.get("lc") == 1 and mapping.get("type") == "not_implemented":
        raise Unsure("a value could not be written as JSON by LangChain")
    return {key: _unwrapped(item) for key, item in mapping.items()}
