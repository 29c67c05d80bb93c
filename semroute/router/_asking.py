"""What becomes of a router's question to a model, whichever framework the model is called by."""

from __future__ import annotations

from typing import Final

from semroute.router.llm import Refused

REFUSALS: Final = frozenset({"refusal", "content_filter", "safety"})
"""Why a model has ended, or an error's code, where it would not answer; in small letters."""
_REFUSING_ERRORS: Final = frozenset({"ContentFilterFinishReasonError", "OpenAIRefusalError"})


def check_error(error: Exception) -> None:
    """Raise Refused where an error of the provider is one."""
    if getattr(error, "code", None) in REFUSALS or type(error).__name__ in _REFUSING_ERRORS:
        raise Refused(type(error).__name__) from error


def is_about_temperature(error: Exception) -> bool:
    """Say whether a provider will not have a temperature, so that the call is worth another try without."""
    return "temperature" in str(error).lower()
