"""What a learned verifier sees of two texts: numbers about what they share, what is left over, and in which order.

Every feature is the same whichever of the two texts is asked and which is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Final, TypeAlias

from semroute.guards import literals, numbers, polarity
from semroute.guards._pair import Pair
from semroute.guards._synonyms import LIGHT_KEYS
from semroute.guards._text import Text
from semroute.guards._tokens import Token
from semroute.guards._words import ARTICLES, AUXILIARIES, PREPOSITIONS, QUESTION_WORDS, words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix: TypeAlias = NDArray[np.float64]

UNKNOWN_RARITY: Final = 1.1
"""The rarity of a word that the table does not know; known words have rarities in (0, 1]."""
_GROUPS: Final = {
    "first_person": words("i me my mine myself we us our ours"),
    "second_person": words("you your yours u"),
    "third_person": words("he him his she her they them their it its"),
    "prepositions": PREPOSITIONS,
    "articles": ARTICLES,
    "auxiliaries": AUXILIARIES,
    "question_words": QUESTION_WORDS,
}
_GROUPS_OF: Final = {
    word: tuple(place for place, group in enumerate(_GROUPS.values()) if word in group)
    for word in frozenset().union(*_GROUPS.values())
}
"""The places of the groups that a word belongs to."""
_ASKED: Final = ("", "what", "how", "why", "who", "when", "where", "which", "yes or no")
_NONE_ASKED: Final = (0.0,) * len(_ASKED)
_ONE_ASKED: Final = {name: tuple(float(name == other) for other in _ASKED) for name in _ASKED}
_N_GROUPS: Final = len(_GROUPS)
_MAX_OPPOSED: Final = 36
"""Of more pairs of left-over words than this no opposites are looked for."""
_RARITY_LEFT: Final = 3
_START, _END = "^", "$"

_OF_TEXT: Final = (
    "n_words", "n_content", "n_letters", "n_negations", "n_numbers", "n_names", "n_question_marks", "n_ends",
    "n_orders", *(f"asks_{name.replace(' ', '_')}" if name else "asks_nothing" for name in _ASKED), "rarity",
)  # fmt: skip
"""What is counted of each text."""
_OF_SIDE: Final = (
    "n_left", "n_light_left", "n_names_left", "rarity_left", "rarest_left", "n_other_words",
    *(f"n_other_{name}" for name in _GROUPS),
)  # fmt: skip
"""What is counted of each text against the other one."""
_OF_PAIR: Final = (
    "n_shared", "n_other_forms", "n_neighbours", "n_words_in_order", "n_words_found", "n_front", "n_back",
    "numbers_differ", "polarity_differs", "literals_differ", "words_in_common",
    "neighbours_in_common", "words_in_order", "n_words_moved", "front", "back", "rim", "n_inside_rim_least",
    "n_inside_rim_most", "n_neighbours_broken_least", "n_neighbours_broken_most", "shared_share", "covered_least",
    "covered_most", "rarity_shared_share", "rarity_covered_least", "rarity_covered_most",
)  # fmt: skip
"""What is counted of both texts together."""
FEATURES: Final[tuple[str, ...]] = (
    "similarity",
    *(f"{name}_least" for name in (*_OF_TEXT, *_OF_SIDE)),
    *(f"{name}_most" for name in (*_OF_TEXT, *_OF_SIDE)),
    *_OF_PAIR,
)
"""The names of the features, in the order of the columns that `Counts.features` returns.

`_least` and `_most` are the smaller and the larger of a number that each of the two texts has.
"""
_N_OF_ONE: Final = len(_OF_TEXT) + len(_OF_SIDE)
_OURS: Final = slice(1, 1 + _N_OF_ONE)
_THEIRS: Final = slice(1 + _N_OF_ONE, 1 + 2 * _N_OF_ONE)
_PACKED: Final = Struct(f"{len(FEATURES)}d").pack


@dataclass(slots=True, eq=False)
class Profile:
    """What is counted of one text, once, for all the texts that it is compared with."""

    words: tuple[str, ...]
    """Lower-case words and numbers, without marks."""
    vocabulary: frozenset[str]
    neighbours: frozenset[tuple[str, str]]
    has_numbers: bool
    has_code: bool
    """Whether it holds code, operators or quotations."""
    counts: tuple[float, ...]
    """In the order of what is counted of each text."""


def profile(text: Text, rarity: Mapping[str, float]) -> Profile:
    """Count what one text is made of; `rarity` says of lower-case words how rare they are, from 0 to 1."""
    said = tuple([word for word in text.words if word[0].isalnum()])
    n_numbers, n_literals = len(text.numbers), len(text.literals)
    marks = text.words.count
    n_asking = marks("?")
    counts = (
        len(said), len(text.content) + n_numbers + n_literals, len("".join(said)), len(text.negations), n_numbers,
        sum([token.is_name for token in text.content]), n_asking, n_asking + marks(".") + marks("!"), text.is_order,
        *_ONE_ASKED.get(text.asks, _NONE_ASKED),
        sum([rarity.get(token.surface.lower(), UNKNOWN_RARITY) for token in text.content], 0.0),
    )  # fmt: skip
    return Profile(
        words=said,
        vocabulary=frozenset(said),
        neighbours=frozenset(zip((_START, *said), (*said, _END), strict=True)),
        has_numbers=n_numbers > 0,
        has_code=bool(n_literals or text.signs or text.quoted),
        counts=counts,
    )


@dataclass(slots=True, eq=False)
class Found:
    """What counting a pair finds that others ask for too."""

    numbers: str
    """How the numbers differ, or nothing."""
    literals: str
    """How the code or the quotations differ, or nothing."""
    polarity: str | None
    """What is negated or turned round, or nothing; None where so much is left over that it was not looked for."""
    ours: frozenset[str]
    """The words of the query that the stored text lacks."""
    theirs: frozenset[str]


@dataclass(slots=True, eq=False)
class Counts:
    """What several pairs have, as it was counted."""

    similarities: list[float]
    rows: bytearray
    """What was counted of one pair after another, the query's numbers before the stored text's: a number is 8 bytes.

    A table is made of that in half the time that Python's own numbers take.
    """

    @classmethod
    def none(cls) -> Counts:
        """Return the counts of no pair."""
        return cls([], bytearray())

    def add(self, pair: Pair, query: Profile, stored: Profile, similarity: float, rarity: Mapping[str, float]) -> Found:
        """Count what two texts have in common, and return what was found on the way.

        `similarity` is their cosine on [0, 1].
        """
        ours, theirs = query.vocabulary - stored.vocabulary, stored.vocabulary - query.vocabulary
        found = Found(
            numbers.differ(pair) if query.has_numbers or stored.has_numbers else "",
            literals.differ(pair) if query.has_code or stored.has_code else "",
            polarity.differ(pair) if len(pair.only_query) * len(pair.only_stored) <= _MAX_OPPOSED else None,
            ours,
            theirs,
        )
        one, two = _side(pair.only_query, ours, rarity), _side(pair.only_stored, theirs, rarity)
        left, other_left = one[_RARITY_LEFT], two[_RARITY_LEFT]
        self.similarities.append(similarity)
        self.rows += _PACKED(
            similarity, *query.counts, *one, *stored.counts, *two, *_common(pair, query, stored, found),
            *_shares(max(0.0, query.counts[-1] - left), left, other_left),
        )  # fmt: skip
        return found

    def features(self) -> Matrix:
        """Return the features, one row a pair, the columns as FEATURES names them."""
        import numpy as np

        counted = np.ndarray((len(self.similarities), len(FEATURES)), buffer=self.rows)
        features = counted.copy()
        ours, theirs = counted[:, _OURS], counted[:, _THEIRS]
        np.minimum(ours, theirs, out=features[:, _OURS])
        np.maximum(ours, theirs, out=features[:, _THEIRS])
        return features


def _side(left: tuple[Token, ...], other: frozenset[str], rarity: Mapping[str, float]) -> tuple[float, ...]:
    """Count what only one of two texts has: the content words that are left over, and all its other words."""
    groups = [0] * _N_GROUPS
    for word in other:
        for place in _GROUPS_OF.get(word, ()):
            groups[place] += 1
    if not left:
        return (0, 0, 0, 0.0, 0.0, len(other), *groups)
    rarities = [rarity.get(token.surface.lower(), UNKNOWN_RARITY) for token in left]
    n_light = n_names = 0
    for token in left:
        n_light += token.key in LIGHT_KEYS
        n_names += token.is_name
    return (len(left), n_light, n_names, sum(rarities), max(rarities), len(other), *groups)


def _common(pair: Pair, query: Profile, stored: Profile, told: Found) -> tuple[float, ...]:
    """Count what both texts have."""
    one, two = query.words, stored.words
    few, many = sorted((len(one), len(two)))
    front = _n_alike(one, two)
    back = min(_n_alike(one[::-1], two[::-1]), few - front)
    rim = front + back
    in_order = rim + _n_in_order(one[front : len(one) - back], two[front : len(two) - back])
    known = stored.vocabulary
    found = sum([word in known for word in one])
    kept = len(query.neighbours & stored.neighbours)
    broken_least, broken_most = few + 1 - kept, many + 1 - kept
    n_left, n_other_left = len(pair.only_query), len(pair.only_stored)
    return (
        pair.n_shared,
        len(pair.shared),
        kept,
        in_order,
        found,
        front,
        back,
        bool(told.numbers),
        bool(told.polarity),
        bool(told.literals),
        _part(found, found + len(told.ours) + len(told.theirs)),
        _part(kept, kept + broken_least + broken_most),
        _part(2 * in_order, few + many),
        found - in_order,
        _part(front, few),
        _part(back, few),
        _part(rim, few),
        few - rim,
        many - rim,
        broken_least,
        broken_most,
        *_shares(pair.n_shared, n_left, n_other_left),
    )


def _shares(shared: float, one: float, two: float) -> tuple[float, float, float]:
    """Return which share of all is shared, and the least and the greatest share of either side."""
    ours, theirs = _part(shared, shared + one), _part(shared, shared + two)
    share = _part(shared, shared + one + two)
    return (share, ours, theirs) if ours <= theirs else (share, theirs, ours)


def _part(part: float, whole: float) -> float:
    """Return a fraction; of nothing, all is there."""
    return part / whole if whole > 0 else 1.0


def _n_alike(one: Sequence[str], two: Sequence[str]) -> int:
    n = 0
    for ours, theirs in zip(one, two, strict=False):
        if ours != theirs:
            break
        n += 1
    return n


def _n_in_order(one: Sequence[str], two: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, by the bit-vector algorithm of Hyyrö (2004)."""
    if not one or not two:
        return 0
    places: dict[str, int] = {}
    for index, item in enumerate(one):
        places[item] = places.get(item, 0) | 1 << index
    everywhere = (1 << len(one)) - 1
    free = everywhere
    for item in two:
        if item in places:
            hit = free & places[item]
            free = ((free + hit) | (free - hit)) & everywhere
    return len(one) - free.bit_count()
