"""What can be counted in a prompt at a glance: length, choices, numbers, word classes; hints at how hard it is.

English word lists; a prompt in another language still has its lengths, choices, numbers and signs.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["general", "sum"]
"""A prompt that tells numbers and asks for another one is a "sum"; every other is "general"."""

_OPENING, _END = 1_000, 2_000
"""Of a long prompt only its opening and its end are looked at, so that the time it takes is bounded."""
_LAST: Final = 20_000
"""Worked examples are looked for in this much of the end."""
_SHORT: Final = 600
"""A prompt this short holds no worked examples."""
_LEAST_WORDS, _LEAST_AMOUNTS = 12, 2
"""What tells a sum: a story of some words with two amounts in it, which asks for an amount."""

_TOKEN: Final = re.compile(r"[^\W\d_]+|\d[\d,]*(?:\.\d+)?|[^\w\s]|_+")
_CHOICE: Final = re.compile(r"(?<!\S)([A-J])[.):]\s")
_CAPITALISED: Final = re.compile(r"\b[A-Z][a-z]+")
_ANSWERED: Final = re.compile(r"\b(?:Answer|Output|Response):\s+\S+\s+")
_NO_CHOICE_FITS: Final = re.compile(r"\b(?:all|none|both|neither) of (?:the above|these|them)\b", re.IGNORECASE)
_ENDS_IN_ANSWER: Final = "Answer:"
_FIRST_CHOICES: Final = ("A.", "A)", "A:")
_LOUD_WORDS: Final = ("NOT", "EXCEPT", "LEAST", "FALSE")
_LOUD: Final = re.compile(rf"\b(?:{'|'.join(_LOUD_WORDS)})\b")

_CLASSES: Final[Mapping[str, str]] = {
    "negation": "not no never none neither nor except least cannot without don doesn isn aren can won didn",
    "following": "following",
    "which": "which",
    "what": "what",
    "how": "how",
    "why": "why because reason",
    "who": "who whom whose",
    "many": "many",
    "much": "much",
    "truth": "true false correct incorrect statement statements",
    "most": "best most likely mostly primarily main",
    "suppose": "suppose assume let given consider assuming",
    "compute": "calculate compute find determine evaluate solve estimate simplify",
    "mathematics": (
        "theorem prove proof function matrix equation integral derivative polynomial group ring field vector"
    ),
    "than": "than",
    "more": "more fewer less greater larger smaller",
    "times": "times twice half double triple doubles triples halves",
    "each": "each",
    "per": "per every",
    "total": "total altogether sum combined together",
    "left": "remaining left rest remain remains leftover",
    "if": "if",
    "when": "when during",
    "while": "while until",
    "then": "then after before next later",
    "order": "first second last",
    "start": "start starts started began",
    "number_words": (
        "one two three four five six seven eight nine ten eleven twelve fifteen twenty thirty forty fifty hundred"
        " thousand dozen once"
    ),
    "fractions": "third quarter thirds quarters fourth fifth",
    "rates": "average mean ratio rate speed probability interest profit discount tax percent percentage",
    "time": "hour hours minute minutes day days week weeks month months year years daily weekly",
    "age": "age old older younger",
    "money": "cost costs price buys bought sell sells sold spent spend pay pays cents dollars",
    "people": "people friends students kids children",
    "same": "same equal equally",
    "and": "and",
    "but": "only but however instead though although",
    "you": "you your i my me",
    "he": "he his him man",
    "she": "she her woman",
    "they": "they them their",
    "all": "all any both either",
    "as": "as",
    "to": "to",
    "of": "of",
    "the": "the",
    "articles": "a an",
    "prepositions": "for in on at by with from",
    "being": "is are was were be",
    "having": "has have had",
    "getting": "get gets got",
    "modal": "would will could may might should must",
    "percent_sign": "%",
    "dollar_sign": "$",
    "equals": "=",
    "operators": "+ * ^ < > | √ ∑ ∫ π ≤ ≥ ± × ÷ ·",
    "slash": "/",
    "dash": "-",
    "brackets": "( ) [ ]",
    "code": "{ } ; # ` \\",
    "quotes": '" “ ”',
    "commas": ",",
    "question_marks": "?",
    "colons": ": ;",
    "stops": ". ! ?",
}
"""Words and signs that are counted together, by the name of their feature; the root of a count is used."""
_MEASURES: Final = (
    "chars", "tokens", "words", "stem", "choices", "choice_length", "choice_spread", "number_choices", "numbers",
    "distinct_numbers", "largest", "range", "decimals", "small_numbers", "uneven_numbers", "distinct_share",
    "repeated_share", "word_length", "long_share", "capitals", "names", "is_not_ascii", "is_loud", "no_choice_fits",
    "has_blank", "asks_for_answer", "question_place",
)  # fmt: skip
FEATURES: Final = (*_CLASSES, *_MEASURES)
"""Names of the features, in their order."""


def _of_words() -> dict[str, tuple[int, ...]]:
    places: dict[str, tuple[int, ...]] = {}
    for place, listed in enumerate(_CLASSES.values()):
        for word in listed.split():
            places[word] = (*places.get(word, ()), place)
    return places


_PLACES: Final[Mapping[str, tuple[int, ...]]] = _of_words()
_AMOUNTS: Final = tuple(map(tuple(_CLASSES).index, ("number_words", "times", "fractions")))
_ASKS_FOR_AMOUNT: Final = tuple(
    map(tuple(_CLASSES).index, ("many", "much", "compute", "total", "left", "rates", "times"))
)


def asked_part(text: str) -> str:
    """Return what is asked after worked examples ("… Answer: B …"), or all of a text that has none."""
    if len(text) <= _SHORT:
        return text
    looked_at = text[-_LAST:]
    ends = [found.end() for found in _ANSWERED.finditer(looked_at)]
    return looked_at[ends[-1] :] if len(ends) > 1 else text


def features_of(text: str) -> tuple[list[float], Kind]:
    """Count the features of a prompt, in the order of FEATURES, and say of which kind it is."""
    text = asked_part(text)
    n_chars = len(text)
    if n_chars > _OPENING + _END:
        text = f"{text[:_OPENING]} {text[-_END:]}"
    lower = text.lower()
    counts = Counter(_TOKEN.findall(lower))
    classes, numbers, n_numbers, (n_tokens, n_words, n_letters, n_long, n_content, n_repeated) = _tally(counts)
    capitals = _CAPITALISED.findall(text)
    choices = _choices(text)
    words = max(1, n_words)
    measures = (
        math.log1p(n_chars),
        math.log1p(n_tokens),
        math.log1p(n_words),
        math.log1p(choices[4] if choices else n_chars),
        *(choices[:4] if choices else (0.0, 0.0, 0.0, 0.0)),
        *(_of_numbers(numbers, n_numbers) if numbers else _NO_NUMBERS),
        len(counts) / max(1, n_tokens),
        n_repeated / max(1, n_content),
        n_letters / words,
        n_long / words,
        len(capitals) / words,
        math.sqrt(len(set(capitals))),
        float(not text.isascii()),
        # A plain word is found more quickly than a pattern, and few prompts have one.
        float(any(word in text for word in _LOUD_WORDS) and _LOUD.search(text) is not None),
        float(" of the" in lower and _NO_CHOICE_FITS.search(text) is not None),
        float("__" in text or " _ " in text),
        float(text.endswith(_ENDS_IN_ANSWER)),
        (text.find("?") + 1) / max(1, len(text)),
    )
    is_sum = (
        choices is None
        and n_words >= _LEAST_WORDS
        and n_numbers + sum(classes[place] for place in _AMOUNTS) >= _LEAST_AMOUNTS
        and any(classes[place] for place in _ASKS_FOR_AMOUNT)
    )
    return [*map(math.sqrt, classes), *measures], "sum" if is_sum else "general"


def _tally(counts: Counter[str]) -> tuple[list[int], list[float], int, tuple[int, int, int, int, int, int]]:
    """Return the counts of the word classes, the numbers, how many stand there, and what words come to."""
    classes = [0] * len(_CLASSES)
    n_tokens = n_words = n_letters = n_long = n_repeated = n_content = 0
    numbers: list[float] = []
    n_numbers = 0
    for token, count in counts.items():
        n_tokens += count
        for place in _PLACES.get(token, ()):
            classes[place] += count
        if token.isalpha():
            length = len(token)
            n_words += count
            n_letters += count * length
            if length > 3:
                n_content += count
                n_repeated += count - 1
                if length > 7:
                    n_long += count
        elif "0" <= token[0] <= "9":
            n_numbers += count
            numbers.append(_value(token))
    return classes, numbers, n_numbers, (n_tokens, n_words, n_letters, n_long, n_content, n_repeated)


def _of_numbers(numbers: list[float], n_numbers: int) -> tuple[float, ...]:
    """Measure the different numbers of a prompt, of which there is one at least, and how many stand there."""
    largest = math.log1p(max(numbers))
    return (
        math.sqrt(n_numbers),
        math.sqrt(len(numbers)),
        largest,
        largest - math.log1p(min(numbers)),
        math.sqrt(sum([number % 1 != 0 for number in numbers])),
        math.sqrt(sum([number <= 3 for number in numbers])),
        math.sqrt(sum([number % 10 != 0 for number in numbers])),
    )


_NO_NUMBERS: Final = (0.0,) * len(_of_numbers([0.0], 1))


def _value(token: str) -> float:
    plain = token.replace(",", "")
    # Longer ones are codes and digits of something, not amounts.
    return float(plain) if len(plain) < 13 else 1e12


def _choices(text: str) -> tuple[float, float, float, float, float] | None:
    """Find the last run of choices A, B, …: how many, their length, how lengths differ, share of numbers, stem."""
    if not any(first in text for first in _FIRST_CHOICES):
        return None
    found = [(one.group(1), one.start(), one.end()) for one in _CHOICE.finditer(text)]
    firsts = [place for place, one in enumerate(found) if one[0] == "A"]
    if not firsts:
        return None
    run = [found[firsts[-1]]]
    for one in found[firsts[-1] + 1 :]:
        if ord(one[0]) == ord(run[-1][0]) + 1:
            run.append(one)
    if len(run) < 2:
        return None
    end = len(text) - len(_ENDS_IN_ANSWER) if text.endswith(_ENDS_IN_ANSWER) else len(text)
    ends = [*(start for _, start, _ in run[1:]), end]
    lengths = [max(0, stop - begin) for (_, _, begin), stop in zip(run, ends, strict=True)]
    are_numbers = sum(text[begin : begin + 1] in "0123456789$-+.(√" and begin < end for _, _, begin in run)
    n = len(run)
    return (
        float(n),
        math.log1p(sum(lengths) / n),
        math.log1p(max(lengths) - min(lengths)),
        are_numbers / n,
        float(run[0][1]),
    )
