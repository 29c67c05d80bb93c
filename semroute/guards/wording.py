"""Wording: one word put for another in the same sentence asks something else, unless the two mean the same."""

from __future__ import annotations

from semroute.guards import _small_words as small_words
from semroute.guards._pair import Pair
from semroute.guards._synonyms import LIGHT_KEYS, canonical
from semroute.guards._text import Text
from semroute.guards._tokens import Kind, Token
from semroute.guards._words import words
from semroute.guards.question import is_statement

_NONE: frozenset[str] = frozenset()
_COUNTED = (Kind.CONTENT, Kind.NUMBER, Kind.LITERAL, Kind.NEGATION)
_IMPLIED = {
    word: frozenset(canonical(said) for said in words(implied))
    for word, implied in (
        ("how much", "cost price"),
        ("how long", "last take"),
        ("when", "time date"),
        ("how", "procedure process method"),
        ("why", "reason cause"),
        ("where", "place location"),
    )
}
"""What a question word says already, so that it may be said or left out."""
_PLAIN_VERBS = frozenset(canonical(word) for word in words("get make give take ask tell use show see find go come try"))
_TELLING_VERBS = frozenset(canonical(word) for word in words("make give take ask tell use show"))
"""Plain verbs of which no two say the same."""
_ADDED = frozenset(
    canonical(word)
    for word in words(
        "start keep tend continue stay earn human always complete learn important self written serve life usually "
        "major common"
    )
)
_DEEDS = frozenset(
    canonical(word)
    for word in words(
        "get make give take bring go want need help tell come try use see say ask think find explain describe show "
        "suggest recommend feel offer keep stay start wonder happen"
    )
)
_SAME_DEEDS = frozenset(
    frozenset(canonical(word) for word in row.split("-"))
    for row in words(
        "see-find get-find tell-explain bring-take suggest-recommend explain-describe get-take get-see think-feel "
        "think-say get-come get-go say-tell take-use get-use need-use need-want get-start want-try need-take give-offer"
    )
)
"""Light verbs that may stand for one another."""
_MUCH_SHARED = 4
_MANY_WORDS = 2


def differ(pair: Pair) -> str:
    """Return the words that make the difference ("pause ≠ cancel"), or nothing."""
    return ("" if is_statement(pair) else small_words.differ(pair)) or _content(pair)


def _content(pair: Pair) -> str:
    if not pair.only_query and not pair.only_stored:
        return ""
    ours, theirs = _weighty(pair.only_query), _weighty(pair.only_stored)
    implied = _IMPLIED.get(pair.query.asks, _NONE) & _IMPLIED.get(pair.stored.asks, _NONE)
    if implied:
        ours, theirs = ([token for token in side if token.key not in implied] for side in (ours, theirs))
    light = "" if is_statement(pair) else _light_deed(pair)
    if light or (not ours and not theirs):
        return light or _verb(pair)
    if not ours or not theirs:
        ours, theirs = _binding(ours), _binding(theirs)
    if not ours and not theirs:
        return ""
    if _is_reworded(pair, ours, theirs) and (is_statement(pair) or not _is_substituted(pair)):
        return ""
    if ours and theirs:
        return f"{_said(ours)} ≠ {_said(theirs)}"
    return f"only the query says {_said(ours)}" if ours else f"only the stored question says {_said(theirs)}"


def _is_substituted(pair: Pair) -> bool:
    """Say whether one run of words stands where the other text has another one: between the same neighbours."""
    renamed = dict(pair.shared)
    one, two = _run(pair.query, pair.only_query, renamed), _run(pair.stored, pair.only_stored, {})
    return one is not None and one == two and one != ("", "")


def _run(text: Text, left: tuple[Token, ...], renamed: dict[str, str]) -> tuple[str, str] | None:
    """Return the neighbours of the words that are left over, if those stand in one run."""
    tokens = [token for token in text.tokens if token.kind in _COUNTED]
    keys_left = {token.key for token in left}
    places = [index for index, token in enumerate(tokens) if token.key in keys_left and token in left]
    if not places or places[-1] - places[0] != len(places) - 1:
        return None
    keys = ["", *(renamed.get(token.key, token.key) for token in tokens), ""]
    return keys[places[0]], keys[places[-1] + 2]


def _is_reworded(pair: Pair, ours: list[Token], theirs: list[Token]) -> bool:
    """Say whether so much is worded anew that the differing words are no substitution in one sentence.

    Two statements may differ in single words too, where the words around them have changed as well.
    """
    if min(len(ours), len(theirs)) < 2 and not is_statement(pair):
        return False
    if any(not token.surface.isascii() for token in (*pair.only_query, *pair.only_stored)):
        return False
    if min(len(ours), len(theirs)) >= 2:
        return True
    if len(ours) == len(theirs) == 1 and _slot(pair.query, ours[0]) == _slot(pair.stored, theirs[0]):
        return False
    n_weighty = len(ours) + len(theirs)
    n_around = len(pair.query.vocabulary ^ pair.stored.vocabulary) - n_weighty
    return n_around >= _MANY_WORDS and max(n_weighty, _MUCH_SHARED) <= pair.n_shared


def _slot(text: Text, token: Token) -> tuple[str, str]:
    """Return the keys of the tokens before and after one."""
    at = text.tokens.index(token)
    around = (text.tokens[at - 1 : at], text.tokens[at + 1 : at + 2])
    before, after = (beside[0].key if beside else "" for beside in around)
    return before, after


def _weighty(tokens: tuple[Token, ...]) -> list[Token]:
    return [token for token in tokens if token.key not in LIGHT_KEYS]


def _verb(pair: Pair) -> str:
    """Find a plain verb put for another: "use a voucher", "get a voucher"."""
    ours = [token for token in pair.only_query if token.key in _PLAIN_VERBS]
    theirs = [token for token in pair.only_stored if token.key in _PLAIN_VERBS]
    telling = any(token.key in _TELLING_VERBS for token in (*ours, *theirs))
    return f"{_said(ours)} ≠ {_said(theirs)}" if ours and theirs and telling else ""


def _light_deed(pair: Pair) -> str:
    """Find one light verb in the place of another: "find a doctor", "recommend a doctor"."""
    if not (len(pair.only_query) == len(pair.only_stored) == 1):
        return ""
    one, two = pair.only_query[0], pair.only_stored[0]
    if one.key == two.key or not {one.key, two.key} <= _DEEDS or frozenset((one.key, two.key)) in _SAME_DEEDS:
        return ""
    return f"{one.surface} ≠ {two.surface}" if _is_substituted(pair) else ""


def _binding(tokens: list[Token]) -> list[Token]:
    """Leave out what may be added to a sentence: "how do I (start to) save money"."""
    return [token for token in tokens if token.key not in _ADDED]


def _said(tokens: list[Token]) -> str:
    return " ".join(token.surface for token in tokens)
