"""Which prompts are rendered templates: their text drowns the question, so they are compared in full only.

A prompt that holds retrieved passages is as near to another one with other passages as two paraphrases are to each
other. What comes through `predict`, `stream` and `structured_predict` is rendered by their contract; what reaches
`chat` or `complete` by itself is recognised by the fixed text of the framework's own templates, or by its paragraphs.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

from llama_index.core.prompts import (
    BasePromptTemplate,
    ChatPromptTemplate,
    SelectorPromptTemplate,
    chat_prompts,
    default_prompts,
)

from semroute.binding import Binding, bound, rebound
from semroute.calls.streams import asteps, steps

if TYPE_CHECKING:
    from llama_index.core.llms.llm import LLM

    Model = LLM
else:
    Model = object

_RENDERED: ContextVar[str | None] = ContextVar("semroute_llama_index_rendered", default=None)
"""The question in the template that the running call renders, as far as it is known; None where it renders none."""
_QUESTIONS: Final = ("query_str", "question", "query")
"""The variables by which the framework's templates name the user's words."""
_PARAGRAPHS: Final = re.compile(r"(?<=\S)[^\S\n]*\n\s*\n\s*(?=\S)")
_SLOTS: Final = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{\w+\}", re.DOTALL)
_SHORTEST: Final = 30
"""Fixed text of fewer characters may stand in anybody's words."""


def question_in(text: str) -> str | None:
    """Return the question in a user's turn that was rendered from a template, "" where it is not known.

    None is a turn of the user's own words. Of several paragraphs the last one asks.
    """
    rendered = _RENDERED.get()
    if rendered is not None:
        return rendered
    *before, last = _PARAGRAPHS.split(text)
    if before:
        return last
    folded = " ".join(text.split())
    return "" if any(piece in folded for piece in _fixed_text()) else None


def _question(args: Iterable[object], kwargs: Mapping[str, object]) -> str:
    """Return the user's words among the variables of a template, or ""."""
    named = dict(kwargs)
    for template in (*args, *kwargs.values()):
        while isinstance(template, SelectorPromptTemplate):
            template = template.default_template
        if isinstance(template, BasePromptTemplate):
            named = {**template.kwargs, **named}
    return next((value for name in _QUESTIONS if isinstance(value := named.get(name), str)), "")


@lru_cache(maxsize=1)
def _fixed_text() -> tuple[str, ...]:
    """Return the pieces of the framework's default templates that stand between their variables."""
    templates = [
        template
        for module in (default_prompts, chat_prompts)
        for template in vars(module).values()
        if isinstance(template, BasePromptTemplate)
    ]
    texts = [text for template in templates for text in _texts(template)]
    pieces = {" ".join(piece.split()) for text in texts for piece in _SLOTS.split(text)}
    return tuple(sorted(piece for piece in pieces if len(piece) >= _SHORTEST))


def _texts(template: BasePromptTemplate) -> list[str]:
    if isinstance(template, ChatPromptTemplate):
        return [message.content for message in template.message_templates if message.content is not None]
    return [template.get_template()]


@contextmanager
def _rendering(binding: Binding, question: str) -> Iterator[None]:
    token = _RENDERED.set(question)
    try:
        with rebound(binding):
            yield
    finally:
        _RENDERED.reset(token)


class RenderedCalls(Model):
    """The calls that render a template; their streams belong to the scope in which they were asked for."""

    def predict(self, *args: Any, **kwargs: Any) -> str:
        with _rendering(bound(), _question(args, kwargs)):
            return super().predict(*args, **kwargs)

    async def apredict(self, *args: Any, **kwargs: Any) -> str:
        with _rendering(bound(), _question(args, kwargs)):
            return await super().apredict(*args, **kwargs)

    def structured_predict(self, *args: Any, **kwargs: Any) -> Any:
        with _rendering(bound(), _question(args, kwargs)):
            return super().structured_predict(*args, **kwargs)

    async def astructured_predict(self, *args: Any, **kwargs: Any) -> Any:
        with _rendering(bound(), _question(args, kwargs)):
            return await super().astructured_predict(*args, **kwargs)

    def stream(self, *args: Any, **kwargs: Any) -> Any:
        return _rendered(_question(args, kwargs), partial(super().stream, *args, **kwargs))

    async def astream(self, *args: Any, **kwargs: Any) -> Any:
        return await _arendered(_question(args, kwargs), partial(super().astream, *args, **kwargs))

    def stream_structured_predict(self, *args: Any, **kwargs: Any) -> Any:
        return _rendered(_question(args, kwargs), partial(super().stream_structured_predict, *args, **kwargs))

    async def astream_structured_predict(self, *args: Any, **kwargs: Any) -> Any:
        begin = partial(super().astream_structured_predict, *args, **kwargs)
        return await _arendered(_question(args, kwargs), begin)


def _rendered(question: str, begin: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """Begin a stream at once, so that it refuses what it refuses at once, and take its steps where it was begun."""
    around = partial(_rendering, bound(), question)
    with around():
        stream = begin()
    return steps(around, lambda: stream)


async def _arendered(question: str, begin: Callable[[], Awaitable[AsyncIterator[Any]]]) -> AsyncIterator[Any]:
    around = partial(_rendering, bound(), question)
    with around():
        stream = await begin()
    return asteps(around, lambda: stream)
