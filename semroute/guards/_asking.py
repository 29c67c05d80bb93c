"""What one text asks for, by its words: a question word, "how many" and the like, "yes or no", or nothing."""

from __future__ import annotations

from itertools import pairwise

from semroute.guards._words import AUXILIARIES, FILLERS, PREPOSITIONS, QUESTION_WORDS, words

_STARTS = frozenset('.?!,:;("')
_AMOUNTS = words("many much long often old far tall big large soon fast late")
_WHAT = (
    dict.fromkeys(
        words("way ways step steps procedure process method methods tips approach technique techniques"), "how"
    )
    | dict.fromkeys(words("reason reasons cause causes caused"), "why")
    | dict.fromkeys(words("cost price fee fees"), "how much")
    | {"deadline": "when"}
)
"""What "what is the …" asks for in truth."""
_WHAT_AT_ONCE = {
    **{"time": "when", "date": "when", "day": "when", "year": "when", "place": "where"},
    **dict.fromkeys(words("person actor actress author scientist inventor painter composer"), "who"),
}
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
_ORDERS = words(
    "please write translate give list explain summarise summarize draft create order cancel reset show tell make "
    "convert calculate compute name find delete remove add change describe generate compose define compare suggest "
    "recommend help need want send book set turn open close install update start stop fix check schedule remind call "
    "read print share invite i my our prepare rewrite search buy pay move rename enable disable play"
)
"""What an order or a plea begins with."""


def is_order(said: tuple[str, ...]) -> bool:
    """Say whether a text tells somebody to do something, or what its writer needs: "Please cancel …", "I lost …"."""
    return said[:1] != () and said[0] in _ORDERS


def asked(said: tuple[str, ...]) -> str:
    """Return what a text asks for, given its words in lower case and its marks; nothing for what is no question."""
    has_mark = "?" in said
    for index, word in enumerate(said):
        if word in QUESTION_WORDS and (index == 0 or _begins_question(said, index, has_mark)):
            return _refined(said, index)
    if not has_mark and not (said and said[0] in AUXILIARIES):
        return _asked_at_end(said)
    for index, word in enumerate(said):
        if word in AUXILIARIES and (index == 0 or said[index - 1] in _STARTS):
            return _yes_or_no(said, index)
    return next((_refined(said, i) for i, word in enumerate(said) if word in QUESTION_WORDS and word != "which"), "")


def _asked_at_end(said: tuple[str, ...]) -> str:
    """Return the amount that a note of a few words asks for: "sore arm after flu jab how long"."""
    return next((f"how {two}" for one, two in pairwise(said) if one == "how" and two in _AMOUNTS), "")


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
            return "how big" if rest[0] == "large" else f"how {rest[0]}"
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
