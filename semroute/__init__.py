"""An answer cache for LLM applications that proves a semantic hit before it serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semroute.binding import scope
from semroute.entry import Answer, Usage
from semroute.errors import (
    ConfigError,
    DeadlineExceeded,
    EmbedderError,
    MissingExtra,
    RouterError,
    SemrouteError,
    StoreError,
)
from semroute.request import Message, Request, Scope, ToolCall
from semroute.result import Bypass, Explanation, Hit, Miss, NotStored, Queued, Stored, Verdict

if TYPE_CHECKING:
    from semroute.cache import SemanticCache
    from semroute.config import Settings
    from semroute.gate import Policy
    from semroute.guards.verifier import Verifier
    from semroute.prices import Price

__version__ = "0.1.0"

__all__ = [
    "Answer",
    "Bypass",
    "ConfigError",
    "DeadlineExceeded",
    "EmbedderError",
    "Explanation",
    "Hit",
    "Message",
    "Miss",
    "MissingExtra",
    "NotStored",
    "Policy",
    "Price",
    "Queued",
    "Request",
    "RouterError",
    "Scope",
    "SemanticCache",
    "SemrouteError",
    "Settings",
    "StoreError",
    "Stored",
    "ToolCall",
    "Usage",
    "Verdict",
    "Verifier",
    "__version__",
    "scope",
]


def __getattr__(name: str) -> object:
    """Import the larger parts when they are first asked for, so that `import semroute` stays quick."""
    if name == "SemanticCache":
        from semroute.cache import SemanticCache

        return SemanticCache
    if name == "Price":
        from semroute.prices import Price

        return Price
    if name == "Settings":
        from semroute.config import Settings

        return Settings
    if name == "Policy":
        from semroute.gate import Policy

        return Policy
    if name == "Verifier":
        from semroute.guards.verifier import Verifier

        return Verifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
