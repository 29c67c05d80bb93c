"""Whether two calls share an answer, as LangChain tells them: by `prompt` and `llm_string`."""

from __future__ import annotations

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration
from langchain_semroute import SemrouteCache

LLM = "a model"
ANSWER = [ChatGeneration(message=AIMessage("forty-two"))]


def is_shared(cache: SemrouteCache, first: str, second: str, llm: str = LLM, other_llm: str | None = None) -> bool:
    """Say whether the answer to one prompt is served for another."""
    cache.update(first, llm, ANSWER)
    assert cache.lookup(first, llm) is not None
    return cache.lookup(second, llm if other_llm is None else other_llm) is not None
