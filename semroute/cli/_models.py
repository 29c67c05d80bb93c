"""Real chat models, by the name that a command is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semroute.cli._output import UsageError
from semroute.errors import ConfigError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


def check_model_name(name: str, option: str = "--model") -> None:
    """Raise UsageError for a name that is not PROVIDER:NAME; `option` is where it was given."""
    if not all(name.partition(":")):
        raise UsageError(f"{option} takes PROVIDER:NAME such as openai:gpt-4o-mini, not {name!r}")


def chat_model(name: str, option: str = "--model") -> BaseChatModel:
    """Return the chat model that PROVIDER:NAME names; raises ConfigError that says what is missing."""
    check_model_name(name, option)
    provider = name.partition(":")[0]
    try:
        from langchain.chat_models import init_chat_model
    except ImportError as error:
        raise ConfigError(f"{option} {name} needs LangChain: pip install langchain langchain-{provider}") from error
    from langchain_core.language_models import BaseChatModel

    try:
        model = init_chat_model(name)
    except Exception as error:  # a missing package or key is reported by an error of the provider's own
        raise ConfigError(f"{option} {name} could not be set up: {_first_line(error)}") from error
    if not isinstance(model, BaseChatModel):
        raise ConfigError(f"{option} {name} names no chat model")
    return model


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
