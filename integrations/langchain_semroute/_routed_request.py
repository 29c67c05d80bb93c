"""What a routed call asks of whichever model answers it: in a form that is the same for all models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel

from langchain_semroute._identity import IDLE_ARGUMENTS
from langchain_semroute._values import Unsure, plain
from semroute.entry import JSON
from semroute.request import canonical
from semroute.router.catalog import Needs

_IMAGES: Final = frozenset({"image", "image_url", "input_image"})
_CHARS_PER_TOKEN: Final = 4


@dataclass(frozen=True, slots=True)
class Declaration:
    """Tools or a response schema, declared on a routed model, and applied to the model that is called."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    form: JSON | Unsure
    """What it asks for, in the same form for all models; Unsure where there is no form that tells it apart."""

    @property
    def needs_tools(self) -> bool:
        return self.name == "bind_tools" and bool(self.args[0])

    @property
    def needs_schema(self) -> bool:
        return self.name == "with_structured_output" or self.kwargs.get("response_format") is not None

    def applied(self, model: Any) -> Any:
        """Return a model with this declared on it."""
        return getattr(model, self.name)(*self.args, **self.kwargs)


def tools_declared(tools: Sequence[Any], kwargs: Mapping[str, Any]) -> Declaration:
    """Return the declaration of tools, as `bind_tools` takes them."""
    given = list(tools)
    form = _form_of(lambda: {"tools": [_tool_form(tool) for tool in given]}, kwargs)
    return Declaration("bind_tools", (given,), kwargs, form)


def schema_declared(schema: Any, kwargs: Mapping[str, Any]) -> Declaration:
    """Return the declaration of a response schema, as `with_structured_output` takes it."""
    form = _form_of(lambda: {"schema": _schema_form(schema)}, kwargs)
    return Declaration("with_structured_output", (schema,), kwargs, form)


def _tool_form(tool: Any) -> JSON:
    return plain(tool if isinstance(tool, Mapping) else convert_to_openai_tool(tool))


def _schema_form(schema: Any) -> JSON:
    is_plain = isinstance(schema, Mapping) or (isinstance(schema, type) and issubclass(schema, BaseModel))
    return plain(schema if is_plain else convert_to_openai_tool(schema))


def _form_of(describe: Callable[[], dict[str, JSON]], kwargs: Mapping[str, Any]) -> JSON | Unsure:
    try:
        told = {key: plain(value) for key, value in kwargs.items() if value is not None and key not in IDLE_ARGUMENTS}
        return {**told, **describe()}
    except Unsure as doubt:
        return doubt
    # LangChain raises errors of many kinds for tools that it cannot describe; the model is to say so, if it cares.
    except Exception as error:
        return Unsure(f"tools or schema cannot be described: {type(error).__name__}")


@dataclass(frozen=True, slots=True)
class Asked:
    """One call of a routed model: messages, what was declared, and the call's own arguments."""

    messages: Sequence[BaseMessage]
    declared: tuple[Declaration, ...]
    arguments: Mapping[str, Any]

    def form(self) -> dict[str, JSON]:
        """Return all that must be equal for an answer to be reused, but the messages and the models; raises Unsure."""
        for declaration in self.declared:
            if isinstance(declaration.form, Unsure):
                raise declaration.form
        told = {key: value for key, value in self.arguments.items() if key not in IDLE_ARGUMENTS and value is not None}
        declared: list[JSON] = [[each.name, each.form] for each in self.declared if not isinstance(each.form, Unsure)]
        return {"declared": declared, "arguments": {key: plain(value) for key, value in told.items()}}

    def temperature(self, of_models: Iterable[float | None]) -> float | None:
        """Return the sampling temperature: the call's own, or the highest of the models that may be called."""
        given = self.arguments.get("temperature")
        if isinstance(given, int | float) and not isinstance(given, bool):
            return float(given)
        return max((each for each in of_models if each is not None), default=None)

    def needs(self, least_tier: int, *, counts_tokens: bool) -> Needs:
        """Return what the models must be able to do; tokens are counted only where a model has a limit."""
        return Needs(
            tools=any(each.needs_tools for each in self.declared) or bool(self.arguments.get("tools")),
            vision=any(_has_image(message) for message in self.messages),
            structured_output=any(each.needs_schema for each in self.declared)
            or self.arguments.get("response_format") is not None,
            tokens=self._tokens() if counts_tokens else 0,
            least_tier=least_tier,
        )

    def _tokens(self) -> int:
        """Estimate how long the prompt is, tools and schema among it."""
        forms = [canonical(each.form) for each in self.declared if not isinstance(each.form, Unsure)]
        return count_tokens_approximately(self.messages) + sum(map(len, forms)) // _CHARS_PER_TOKEN


def applied(model: BaseChatModel, declared: Iterable[Declaration]) -> Any:
    """Return a model with all that was declared, in the order in which it was."""
    ready: Any = model
    for declaration in declared:
        ready = declaration.applied(ready)
    return ready


def _has_image(message: BaseMessage) -> bool:
    return not isinstance(message.content, str) and any(_is_image(block) for block in message.content)


def _is_image(block: object) -> bool:
    if not isinstance(block, Mapping):
        return False
    kind = block.get("mime_type")
    return block.get("type") in _IMAGES or (isinstance(kind, str) and kind.startswith("image/"))
