"""Whether a fresh answer is stored, and for which tiers: complete, successful answers only."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from semroute.errors import ConfigError

if TYPE_CHECKING:
    from semroute.entry import Answer

DEFAULT_MAX_BYTES: Final = 256 * 1024

_SAYS_NOTHING: Final = frozenset({"", "none", "null", "unspecified", "finish_reason_unspecified"})
# An answer that ended by itself, in the words of OpenAI, Anthropic, Google, Cohere, Mistral, Bedrock, Ollama and TGI.
_COMPLETE: Final = frozenset(
    {"stop", "end_turn", "stop_sequence", "complete", "completed", "finished", "eos", "eos_token", "end", "done"}
    | {"success", "tool_calls", "tool_call", "tool_use", "function_call"}
)

_SORRY: Final = (
    r"\W*(?:(?:i'm|i am)? ?(?:very |so |really |terribly |truly )?(?:sorry|afraid)\W+(?:but )?(?:that )?"
    r"|unfortunately\W+|i apologi[sz]e\W+(?:but )?)?"
)
_UNABLE: Final = (
    r"(?:(?:can't|cannot|can not|won't|will not|could not|couldn't)"
    r"|(?:am|'m) (?:not able|unable|not allowed|not permitted|not comfortable)(?: to)?)"
)
_REFUSAL_VERB: Final = (
    r"(?:help|assist|comply|fulfill?|answer|provide|discuss|create|generate|write|do (?:that|this)|continue|engage"
    r"|support|respond|process|offer|give|share|participate|produce)"
)
_REFUSALS: Final = (
    re.compile(rf"{_SORRY}i ?(?:really |simply |just )?{_UNABLE} {_REFUSAL_VERB}(?:ing)?\b"),
    re.compile(rf"{_SORRY}i (?:must |have to |respectfully )?(?:decline|refuse)\b"),
    re.compile(
        rf"{_SORRY}(?:as|being) an? (?:\w+ )?(?:ai|language model|virtual assistant|chatbot)\b"
        rf"[^.!?]{{0,80}}\bi ?(?:{_UNABLE}|(?:do not|don't) have)"
    ),
)
_REFUSAL_MAX_CHARS: Final = 400

_ERROR_KEYS: Final = frozenset({"error", "errors", "type", "status", "code", "message", "detail", "request_id"})
_ERROR_PAGE: Final = re.compile(
    r"\s*<(?:!doctype html|html)\b.{0,2000}?<(?:title|h1)>\s*(?:error\b|[45]\d\d\b|bad gateway|service unavailable"
    r"|internal server error|not found|forbidden|too many requests|gateway time-?out)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Settings of the admission."""

    max_bytes: int = DEFAULT_MAX_BYTES
    """Cap on an answer's size, its text and its payload as JSON taken together."""

    def __post_init__(self) -> None:
        if self.max_bytes < 1:
            raise ConfigError(f"max_bytes must be a whole number of at least 1, not {self.max_bytes!r}")


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether an answer is stored at all, whether the semantic tier may serve it, and why."""

    stored: bool
    semantic: bool
    reason: str


def admit(answer: Answer, limits: AdmissionLimits | None = None) -> Admission:
    """Decide whether a fresh answer is stored, and for which tiers."""
    if limits is None:
        limits = AdmissionLimits()
    refused = _reason_against(answer, limits)
    if refused is not None:
        return Admission(stored=False, semantic=False, reason=refused)
    if answer.has_tool_calls:
        return Admission(stored=True, semantic=False, reason="tool calls are served by the exact tier only")
    return Admission(stored=True, semantic=True, reason="complete answer")


def _reason_against(answer: Answer, limits: AdmissionLimits) -> str | None:
    if not answer.has_tool_calls and not answer.text.strip():
        return "the answer is empty"
    if not _is_complete(answer.finish_reason):
        return f"the answer is not complete: finish_reason '{answer.finish_reason}'"
    if answer.is_refusal or (not answer.has_tool_calls and _reads_as_refusal(answer.text)):
        return "the answer is a refusal"
    if not answer.has_tool_calls and _reads_as_error(answer.text):
        return "the answer is an error message"
    try:
        size_bytes = _size_bytes(answer)
    except (TypeError, ValueError, RecursionError) as error:
        return f"the payload is not plain JSON: {error}"
    if size_bytes > limits.max_bytes:
        return f"the answer has {size_bytes} bytes, over the cap of {limits.max_bytes}"
    return None


def _is_complete(finish_reason: str | None) -> bool:
    """Say whether a finish reason means a whole answer.

    A reason that is missing says nothing against it. One that no list knows does: whatever new way of stopping early
    a provider invents, half an answer is never served to others; the admission's reason names the word.
    """
    if finish_reason is None:
        return True
    word = finish_reason.strip().lower().rpartition(".")[2].replace("-", "_")
    return word in _SAYS_NOTHING or word in _COMPLETE


def _reads_as_refusal(text: str) -> bool:
    """Say whether a short text opens as models refuse; a long one that begins so goes on to help."""
    if len(text) > _REFUSAL_MAX_CHARS:
        return False
    words = " ".join(text.replace("’", "'").lower().split())
    return any(pattern.match(words) is not None for pattern in _REFUSALS)


def _reads_as_error(text: str) -> bool:
    """Say whether a text is the error body of a server or gateway that was passed on as if it were an answer."""
    if _ERROR_PAGE.match(text) is not None:
        return True
    if not text.lstrip().startswith("{") or '"error' not in text:
        return False
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if not isinstance(body, dict) or not _ERROR_KEYS.issuperset(body):
        return False
    return body.get("error") not in (None, False, "") or body.get("errors") not in (None, [], {})


def _size_bytes(answer: Answer) -> int:
    payload = "" if answer.payload is None else json.dumps(answer.payload, ensure_ascii=False)
    return len(answer.text.encode("utf-8", "surrogatepass")) + len(payload.encode("utf-8", "surrogatepass"))
