"""What a question is about: what may be done, what must be, or what had better be."""

from __future__ import annotations

from semroute.guards._pair import Pair
from semroute.guards._text import Text
from semroute.guards._words import mapping, words

_CLASSES = (
    dict.fromkeys(words("can could may might allowed permitted possible"), "may")
    | dict.fromkeys(words("must mandatory obligatory compulsory obliged required necessary needed"), "must")
    | dict.fromkeys(words("should ought supposed recommended advisable"), "should")
)
_BEFORE_TO = mapping("have:must has:must need:must needs:must got:must ought:should")
"""Verbs that are modal only with "to" behind them."""
_IMPERSONAL = words("you someone anyone somebody")
_FREE = words("how why how_long")
"""Questions for which "can I", "should I" and "do I have to" ask the same."""
_NEAR = frozenset({frozenset({"must", "should"})})


def modality_differs(pair: Pair, first: str, second: str) -> str:
    """Return how the modalities differ ("may ≠ must"), or nothing; `first` and `second` are what is asked for."""
    if first != second or first in _FREE:
        return ""
    ours, theirs = _modalities(pair.query), _modalities(pair.stored)
    if not ours or not theirs or not ours.isdisjoint(theirs):
        return ""
    if first != "yes or no" and (ours | theirs) in _NEAR:
        return ""
    if first == "where" and (ours | theirs) == {"may", "should"}:
        return ""
    return f"{min(ours)} ≠ {min(theirs)}"


def _modalities(text: Text) -> frozenset[str]:
    """Return the classes of the modal words, but for polite frames: "can you tell me whether …"."""
    said = text.words
    found: set[str] = set()
    for index, word in enumerate(said):
        following = said[index + 1 : index + 2]
        if following == ("to",) and word in _BEFORE_TO:
            found.add(_BEFORE_TO[word])
        elif word in _CLASSES and not (following and following[0] in _IMPERSONAL):
            found.add(_CLASSES[word])
    return frozenset(found)
