"""Reading numbers, dates and units out of written words."""

from __future__ import annotations

from semroute.guards import _quantities as quantities
from semroute.guards._tokens import Kind, Token, Written
from semroute.guards._words import words

_NOTHING = Written("", "", "")
_BEFORE_MONTH = words("in of by until till since last next this during before after from")
_ORDINAL_ENDINGS = words("st nd rd th")
_DAYS = 31
NUMBER_WORDS = frozenset(
    quantities.CARDINALS.keys() | quantities.WORDS.keys() | quantities.ROMAN.keys() | quantities.MONTHS.keys()
) | frozenset(quantities.CURRENCY_CODES)
"""Words that may be, or begin, a number, a date or an amount of money."""


def is_currency_of_number(written: list[Written], index: int) -> bool:
    """Say whether a currency code stands before its number: "Rs. 500", "USD 20"."""
    if written[index].word not in quantities.CURRENCY_CODES:
        return False
    following = _at(written, index + 1)
    return following.group == "number" or (following.word == "." and _at(written, index + 2).group == "number")


def read_digits(written: list[Written], index: int) -> tuple[int, Token]:
    """Read a number in digits with its scale and unit; return how many words it takes, and the token."""
    surface = written[index].surface
    value = quantities.plain_number(surface)
    before = _at(written, index - 2 if _at(written, index - 1).word == "." else index - 1)
    unit = quantities.UNITS[before.word] if before.word in quantities.CURRENCIES else ""
    if unit:
        surface = f"{before.surface}{surface}"
    end = index + 1
    if _at(written, end).word in _ORDINAL_ENDINGS:
        return 2, Token(value, f"{surface}{written[end].word}", Kind.NUMBER)
    scale = quantities.SCALES.get(_at(written, end).word)
    if scale is not None:
        value, surface, end = quantities.scaled(value, scale), f"{surface} {written[end].surface}", end + 1
    if not unit and _at(written, end).word in quantities.UNITS:
        unit, surface, end = quantities.UNITS[written[end].word], f"{surface} {written[end].surface}", end + 1
    return end - index, Token(quantities.quantity(value, unit), surface, Kind.NUMBER)


def read_word(written: list[Written], index: int) -> tuple[int, Token | None]:
    """Read a number in words ("twenty five days"), an ordinal, a Roman numeral, a month or a weekday; or nothing."""
    word, surface = written[index].word, written[index].surface
    if word in quantities.CARDINALS:
        return _cardinal(written, index)
    value = quantities.WORDS.get(word)
    if value is None and index > 0:
        value = quantities.ROMAN.get(word)
    if value is None and word in quantities.MONTHS and _is_month(written, index):
        value = f"month {quantities.MONTHS[word]}"
    return 1, None if value is None else Token(value, surface, Kind.NUMBER)


def append_date(tokens: list[Token], token: Token) -> None:
    """Append a token; a month goes before its day, so that "3 May" and "3rd of May" read as "May 3"."""
    if token.key.startswith("month ") and tokens:
        at = -2 if len(tokens) > 1 and tokens[-1].key == "of" else -1
        day = tokens[at]
        if day.kind is Kind.NUMBER and day.key.isdigit() and int(day.key) <= _DAYS:
            tokens[at:] = [token, day]
            return
    tokens.append(token)


def _at(written: list[Written], index: int) -> Written:
    return written[index] if 0 <= index < len(written) else _NOTHING


def _is_month(written: list[Written], index: int) -> bool:
    if written[index].word not in quantities.AMBIGUOUS_MONTHS:
        return True
    before, after = _at(written, index - 1), _at(written, index + 1)
    return "number" in (before.group, after.group) or before.word in _BEFORE_MONTH


def _cardinal(written: list[Written], index: int) -> tuple[int, Token]:
    value, end = quantities.CARDINALS[written[index].word], index + 1
    ones = quantities.CARDINALS.get(_at(written, end).word, 0)
    if 20 <= value <= 90 and 0 < ones < 10:
        value, end = value + ones, end + 1
    while _at(written, end).word in quantities.SCALES:
        value, end = value * quantities.SCALES[written[end].word], end + 1
    unit = quantities.UNITS.get(_at(written, end).word, "")
    end += bool(unit)
    said = " ".join(entry.surface for entry in written[index:end])
    return end - index, Token(quantities.quantity(str(value), unit), said, Kind.NUMBER)
