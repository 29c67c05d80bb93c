"""Code and quoted strings: identifiers, paths, flags, addresses and quotations must be the same."""

from __future__ import annotations

from semroute.guards._pair import Pair
from semroute.guards._text import Text


def differ(pair: Pair) -> str:
    """Return the code or the quotations that differ, or nothing."""
    return (
        _code(pair.query, pair.stored, "query")
        or _code(pair.stored, pair.query, "stored question")
        or _signs(pair)
        or _quotes(pair)
    )


def _signs(pair: Pair) -> str:
    """Compare operators, and short flags and ranges whose letter case matters: "-r" and "-R", "&&" and "&"."""
    ours, theirs = pair.query.signs, pair.stored.signs
    return "" if ours == theirs else f"{' '.join(ours) or 'no sign'} ≠ {' '.join(theirs) or 'no sign'}"


def _code(text: Text, other: Text, side: str) -> str:
    ours = [token.key for token in text.literals]
    if not ours:
        return ""
    theirs = {token.key for token in other.literals}
    missing = [key for key in ours if key not in theirs and not _is_plain(key, other, theirs)]
    if not missing:
        return ""
    others = sorted(theirs.difference(ours))
    return f"{missing[0]} ≠ {others[0]}" if others and side == "query" else f"only the {side} has {missing[0]}"


def _is_plain(key: str, other: Text, theirs: set[str]) -> bool:
    """Say whether the other text has the same words without marking them as code."""
    folded = key.casefold()
    if folded in {their.casefold() for their in theirs}:
        return False
    return f" {folded} " in f" {' '.join(other.words)} "


def _quotes(pair: Pair) -> str:
    for text, other in ((pair.query, pair.stored), (pair.stored, pair.query)):
        if text.quoted:
            said = f" {' '.join(word.lower() for word in other.words)} "
            for quoted in text.quoted:
                if quoted and f" {quoted} " not in said and quoted not in other.quoted:
                    return f'"{quoted}" is quoted on one side only'
    return ""
