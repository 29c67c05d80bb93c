"""SemrouteMiddleware: the cache and the router in the loop of a LangChain agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from langchain.agents.middleware import AgentMiddleware
from langchain.agents.middleware.types import ModelRequest, ModelResponse
from langchain_core.language_models import BaseChatModel

from langchain_semroute.routed_model import RoutedModel
from semroute.errors import ConfigError


class SemrouteMiddleware(AgentMiddleware[Any, Any, Any]):
    """Has each model call of an agent served from the cache, or by the model that it needs.

    `models` is a RoutedModel, or chat models by name with the settings of one. The agent's own model is not called.
    Cache and router see the messages and tools that reach the model, whatever other middleware makes of them; a model
    that middleware behind this one chooses is called past both. `model_settings={"model": "large"}`, set by other
    middleware, or the run's `{"configurable": {"model": "large"}}` names the model.
    """

    def __init__(self, models: RoutedModel | Mapping[str, BaseChatModel], **settings: Any) -> None:
        super().__init__()
        if isinstance(models, RoutedModel) and settings:
            raise ConfigError(f"the routed model has its settings: {', '.join(settings)} must be given to it")
        self.model = models if isinstance(models, RoutedModel) else RoutedModel(models, **settings)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        return handler(self._routed(request))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        return await handler(self._routed(request))

    def _routed(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        """Put the routed model in the agent's place for one; agents ask of it no more than it has."""
        return request.override(model=cast("BaseChatModel", self.model))
