"""Question word: who, when, where, why, how, how many; and when the question is set (was, is, will be)."""

from __future__ import annotations

from itertools import takewhile

from semroute.guards._modality import modality_differs
from semroute.guards._pair import Pair
from semroute.guards._text import Text
from semroute.guards._tokens import Kind
from semroute.guards._words import AUXILIARIES, FILLERS, JOINERS, PAST, PREPOSITIONS, PRESENT, QUESTION_WORDS, words

_STARTS = frozenset('.?!,:;("')
_AMOUNTS = words("many much long often old far tall big soon fast late")
_WHAT = (
    dict.fromkeys(
        words("way ways step steps procedure process method methods tips approach technique techniques"), "how"
    )
    | dict.fromkeys(words("reason reasons cause causes caused"), "why")
    | dict.fromkeys(words("cost price fee fees"), "how much")
    | {"deadline": "when"}
)
"""What "what is the …" asks for in truth."""
_WHAT_AT_ONCE = {"time": "when", "date": "when", "day": "when", "year": "when", "place": "where", "person": "who"}
_WAYS = words("way ways tips steps")
_SKIPPED = words(
    "is are was were the a an some best good easiest simplest fastest quickest correct right main most effective "
    "possible of your would be different various safest proper real exact do does and easy certain useful next other"
)
_ASKING = AUXILIARIES | words("to many much long often")
_ONE = words("i we you one be people someone")
_PLEAS = words(
    "write translate give list explain summarise summarize tell name describe suggest recommend draft define rewrite"
)
"""What one asks the one who answers to do: "can you explain …" asks no yes or no."""
_COMPARING = words("differ differs differentiate different feel feels")
"""Verbs after which "how" asks what something is like."""
_TELLING = words("me know explain tell understand wonder wondering")
_LEADS = _TELLING | words("in for at by from on to of and")
_TIMES = (
    dict.fromkeys(PAST | {"happened"}, "past")
    | dict.fromkeys(PRESENT | {"happens"}, "present")
    | {"will": "future", "have": "perfect", "has": "perfect"}
)
_OTHER_TIMES = frozenset(frozenset(pair) for pair in (("past", "present"), ("past", "future"), ("perfect", "future")))
_ORDERS = words(
    "please write translate give list explain summarise summarize draft create order cancel reset show tell make "
    "convert calculate compute name find delete remove add change describe generate compose define compare suggest "
    "recommend help need want send book set turn open close install update start stop fix check schedule remind call "
    "read print share invite i my our prepare rewrite search buy pay move rename enable disable play"
)
"""What an order or a plea begins with."""
_OPINION = words("you your ever")
_SAME = frozenset(frozenset(pair) for pair in (("what", ""), ("how", "")))


def differ(pair: Pair) -> str:
    """Return the question words when they differ ("who ≠ when"), or the tenses, or nothing."""
    first, second = asked(pair.query), asked(pair.stored)
    if first != second and frozenset((first, second)) not in _SAME and not _is_sought(pair, first, second):
        return f"{first or 'no question word'} ≠ {second or 'no question word'}"
    modality = "" if is_statement(pair) else modality_differs(pair, first, second)
    return modality or _which(pair) or _tense(pair.query, pair.stored)


def _is_sought(pair: Pair, first: str, second: str) -> bool:
    """Say whether one asks how and the other where to find the same: "how do I find my IBAN"."""
    return {first, second} == {"how", "where"} and all(
        text.words[3:4] == ("find",) for text in (pair.query, pair.stored)
    )


def _which(pair: Pair) -> str:
    """Find that of two things which both texts name, each asks for another one: "which apps", "which team"."""
    first, second = _asked_noun(pair.query), _asked_noun(pair.stored)
    if not first or not second or first == second:
        return ""
    both = {first, second}
    named = ({token.key for token in text.tokens} for text in (pair.query, pair.stored))
    return f"which {first} ≠ which {second}" if all(both <= keys for keys in named) else ""


def _asked_noun(text: Text) -> str:
    """Return the last word of the noun behind "which" at the beginning; none where a list begins there."""
    start = next((i + 1 for i, token in enumerate(text.tokens[:3]) if token.key == "which"), None)
    if start is None:
        return ""
    noun = list(takewhile(lambda token: token.kind is Kind.CONTENT, text.tokens[start:]))
    is_list = any(token.key in JOINERS for token in text.tokens[start + len(noun) : start + len(noun) + 1])
    return noun[-1].key if noun and not is_list else ""


def is_statement(pair: Pair) -> bool:
    """Say whether neither text asks or orders anything."""
    return not any("?" in text.words or asked(text) or is_order(text) for text in (pair.query, pair.stored))


def is_order(text: Text) -> bool:
    """Say whether a text tells somebody to do something, or what its writer needs: "Please cancel …", "I lost …"."""
    return text.words[:1] != () and text.words[0] in _ORDERS


def asked(text: Text) -> str:
    """Return what a text asks for: a question word, "how many" and the like, "yes or no", or nothing."""
    said = text.words
    has_mark = "?" in said
    for index, word in enumerate(said):
        if word in QUESTION_WORDS and (index == 0 or _begins_question(said, index, has_mark)):
            return _refined(said, index)
    if not has_mark and not (said and said[0] in AUXILIARIES):
        return ""
    for index, word in enumerate(said):
        if word in AUXILIARIES and (index == 0 or said[index - 1] in _STARTS):
            return _yes_or_no(said, index)
    return next((_refined(said, i) for i, word in enumerate(said) if word in QUESTION_WORDS and word != "which"), "")


def _begins_question(said: tuple[str, ...], index: int, has_mark: bool) -> bool:
    """Say whether a question word stands where a question begins: "…, how can I", "tell me how", "in which"."""
    before = said[index - 1]
    if before not in _STARTS and not (before in _LEADS and (index == 1 or before in _TELLING)):
        return False
    return has_mark or said[index + 1 : index + 2] == () or said[index + 1] in _ASKING


def _refined(said: tuple[str, ...], index: int) -> str:
    word, rest = said[index], said[index + 1 : index + 9]
    if word == "how":
        if rest and rest[0] in _AMOUNTS:
            return f"how {rest[0]}"
        if rest[:1] in (("is",), ("are",), ("was",)) and "like" in rest[1:5]:
            return "what"
        return "what" if rest[:1] == ("about",) or not _COMPARING.isdisjoint(rest) else "how"
    if word in ("what", "which"):
        if rest and rest[0] in _WHAT_AT_ONCE:
            return _WHAT_AT_ONCE[rest[0]]
        return "how" if _asks_for_deed(rest) else _named(rest)
    return "who" if word in ("whom", "whose") else word


def _asks_for_deed(rest: tuple[str, ...]) -> bool:
    """Say whether "what" asks what to do: "what can I do", "what should be done", "what to do"."""
    if rest[:2] == ("to", "do"):
        return True
    return rest[:1] != ("does",) and not _ONE.isdisjoint(rest[:2]) and not {"do", "done"}.isdisjoint(rest[1:5])


def _named(rest: tuple[str, ...]) -> str:
    """Return what "what" asks for by name: "what is the best way" asks how, "what is the reason" asks why."""
    if rest[:1] in (("do",), ("does",), ("did",)) and "cost" in rest:
        return "how much"
    is_direct = True
    for word in rest:
        if word in _WHAT and (is_direct or word in _WAYS):
            return _WHAT[word]
        if word in PREPOSITIONS and word != "of":
            break
        is_direct = is_direct and word in _SKIPPED
    return "what"


def _yes_or_no(said: tuple[str, ...], index: int) -> str:
    rest = said[index : index + 9]
    if rest[1:2] == ("there",) and ("way" in rest or "ways" in rest):
        return "how"
    if rest[0] in ("can", "could", "would") and rest[1:2] in (("you",), ("someone",), ("anyone",)):
        asked_for = next((i for i, word in enumerate(rest) if word in QUESTION_WORDS), None)
        if asked_for is not None:
            return _refined(said, index + asked_for)
    is_plea = rest[0] in ("can", "could", "would", "will") and rest[1:2] == ("you",)
    if is_plea and not _PLEAS.isdisjoint([word for word in rest[2:] if word not in FILLERS][:1]):
        return ""
    return "" if rest[0] == "let" else "yes or no"


def _tense(query: Text, stored: Text) -> str:
    """Compare when the questions are set; questions of opinion ("what is/was your best …") have no time."""
    first, second = _auxiliary(query), _auxiliary(stored)
    times = frozenset((_TIMES.get(first), _TIMES.get(second)))
    if "future" in times and times in _OTHER_TIMES:
        return f"{first} ≠ {second}"
    if not _OPINION.isdisjoint(query.words) and not _OPINION.isdisjoint(stored.words):
        return ""
    if times in _OTHER_TIMES:
        return f"{first} ≠ {second}"
    return ""


def _auxiliary(text: Text) -> str:
    """Return the verb that sets the time of the question, if it stands among the first words."""
    return next((word for word in text.words[:3] if word in _TIMES), "")
