"""What all tokenising embedders ask of a text before they tokenise it."""

from __future__ import annotations

from semroute.errors import EmbedderError

MAX_CHARACTERS_PER_TOKEN = 16
"""More than a token holds of any wording: a text longer than this for each token is not even tokenised."""


def cannot_fit(text: str, max_tokens: int) -> bool:
    """Say at once, for a text of any length, whether it is far over the limit."""
    return len(text) > max_tokens * MAX_CHARACTERS_PER_TOKEN


def has_lone_surrogates(text: str) -> bool:
    """Say whether the text holds halves of surrogate pairs, which UTF-8 cannot hold and tokenizers refuse."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def replace_lone_surrogates(text: str) -> str:
    """Put U+FFFD in place of each half of a surrogate pair."""
    if not has_lone_surrogates(text):
        return text
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)


def over_limit(text: str, max_tokens: int) -> EmbedderError:
    """Make the error of a text that is too long to stand for itself."""
    return EmbedderError(
        f"a text of {len(text)} characters is over the limit of {max_tokens} tokens, and is not cut short: "
        "ask fits(text) first"
    )
