"""What goes on inside a chain while it answers: the documents that are found, and what the models say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManager, BaseCallbackHandler, BaseCallbackManager, CallbackManager
from langchain_core.documents import Document
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk, LLMResult
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import patch_config

from langchain_semroute._codec import MARKER
from semroute.result import Explanation


class Witness(BaseCallbackHandler):
    """Listens to one run of a chain."""

    run_inline = True
    ignore_chain = True
    ignore_agent = True
    ignore_retry = True
    ignore_chat_model = True
    ignore_custom_event = True

    def __init__(self) -> None:
        self.documents: list[Document] = []
        self.spoken: list[Sequence[Generation | ChatGeneration | GenerationChunk | ChatGenerationChunk]] = []

    def on_retriever_end(self, documents: Sequence[Document], **kwargs: Any) -> None:
        self.documents.extend(documents)

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        self.spoken.extend(response.generations)

    def hearing(self, config: RunnableConfig) -> RunnableConfig:
        """Return the configuration of a run with this witness among those that listen to it."""
        manager = config.get("callbacks")
        if not isinstance(manager, BaseCallbackManager):
            return patch_config({**config, "callbacks": [*([] if manager is None else manager), self]})
        listening = manager.copy()
        listening.add_handler(self, inherit=True)
        return patch_config(config, callbacks=listening)


def tell(explanation: Explanation | None, config: RunnableConfig) -> None:
    """Tell those who listen to a run how its lookup went, by an event of the run."""
    manager = config.get("callbacks")
    if explanation is not None and isinstance(manager, CallbackManager) and manager.handlers:
        manager.on_custom_event(MARKER, explanation.as_dict(), run_id=manager.parent_run_id)


async def atell(explanation: Explanation | None, config: RunnableConfig) -> None:
    """Do what `tell` does, for an asynchronous run."""
    manager = config.get("callbacks")
    if explanation is not None and isinstance(manager, AsyncCallbackManager) and manager.handlers:
        await manager.on_custom_event(MARKER, explanation.as_dict(), run_id=manager.parent_run_id)
