"""What LangChain hands its caches: a prompt and an `llm_string`, made by LangChain itself."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult, Generation

TEXT = "text"
MESSAGES = "messages"


class NamedModel(BaseChatModel):
    """A chat model that is never asked: only how LangChain describes it matters."""

    model: str

    @property
    def _llm_type(self) -> str:
        return "named"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.model, "temperature": 0.0}

    def _generate(self, messages: list[BaseMessage], *_: object, **__: object) -> ChatResult:
        raise NotImplementedError(f"{self.model} is never asked")


def llm_string_of(model: str) -> str:
    """Return how LangChain names a model to a cache."""
    return NamedModel(model=model)._get_llm_string()


def prompt_of(text: str, form: str) -> str:
    """Return what a cache is asked with: the text of a completion model, or the serialised messages of a chat model."""
    return text if form == TEXT else dumps([HumanMessage(text)])


def generation_of(answer: str, form: str) -> Generation:
    """Return what a model of that form answered."""
    return Generation(text=answer) if form == TEXT else ChatGeneration(message=AIMessage(answer))
