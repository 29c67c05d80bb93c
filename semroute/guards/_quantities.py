"""Numbers, units, dates and Roman numerals as they are written in questions."""

from __future__ import annotations

import re

from semroute.guards._words import words


def _counted(text: str, start: int, step: int = 1) -> dict[str, int]:
    return {word: start + step * index for index, word in enumerate(text.split())}


CARDINALS = (
    _counted(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen",
        0,
    )
    | _counted("twenty thirty forty fifty sixty seventy eighty ninety", 20, 10)
    | {"dozen": 12}
)
SCALES = {"hundred": 100, "thousand": 1_000, "k": 1_000, "million": 1_000_000, "mn": 1_000_000, "billion": 10**9,
          "bn": 10**9, "trillion": 10**12, "lakh": 100_000, "lakhs": 100_000, "lac": 100_000, "crore": 10**7,
          "crores": 10**7}  # fmt: skip
ORDINALS = _counted(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth "
    "fifteenth sixteenth seventeenth eighteenth nineteenth twentieth",
    1,
)
MULTIPLES = {"once": "1", "twice": "2", "thrice": "3", "double": "2", "triple": "3", "half": "0.5"}

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan", "february feb", "march mar", "april apr", "may", "june jun", "july jul", "august aug",
            "september sep sept", "october oct", "november nov", "december dec",
        ),
        1,
    )
    for name in names.split()
}  # fmt: skip
AMBIGUOUS_MONTHS = words("may march mar jan dec sep")
"""Months that are a word or a name as well; they count as months beside a number or after "in", "last" and the like."""
WEEKDAYS = {
    name: names.split()[0]
    for names in (
        "monday mon", "tuesday tue tues", "wednesday weds", "thursday thu thur thurs", "friday fri",
        "saturday", "sunday",
    )
    for name in (*names.split(), names.split()[0] + "s")
}  # fmt: skip

_UNITS = """
$ dollar dollars usd bucks
€ euro euros eur
£ pound pounds gbp quid
₹ rupee rupees inr rs
¥ yen jpy
% percent percentage pct
cent cents
year years yr yrs
month months
week weeks wk wks
day days
hour hours hr hrs h
minute minutes min mins
second seconds sec secs
ms millisecond milliseconds
km kilometre kilometres kilometer kilometers kms
m metre metres meter meters
cm centimetre centimetres centimeter centimeters
mm millimetre millimetres millimeter millimeters
mile miles mi
ft foot feet
inch inches
yard yards
kg kilogram kilograms kilo kilos kgs
g gram grams gm
mg milligram milligrams
lb lbs
oz ounce ounces
l litre litres liter liters
ml millilitre millilitres milliliter milliliters
gallon gallons gal
gb gigabyte gigabytes
mb megabyte megabytes
kb kilobyte kilobytes
tb terabyte terabytes
hz hertz
mhz
ghz
mbps
gbps
w watt watts
kw kilowatt kilowatts
v volt volts
am a.m
pm p.m
celsius °c centigrade
fahrenheit °f
degree degrees °
cc
mph
kmph kph
bit bits
byte bytes
px pixel pixels
"""
UNITS = {name: names.split()[0] for names in _UNITS.strip().splitlines() for name in names.split()}
CURRENCY_SIGNS = frozenset("$€£₹¥")
CURRENCY_CODES = words("rs inr usd eur gbp jpy")
CURRENCIES = CURRENCY_SIGNS | CURRENCY_CODES
_SAME_QUANTITY = {"hour": ("minute", 60), "day": ("minute", 1440), "week": ("minute", 10080), "minute": ("minute", 1)}

_ROMAN_VALUES = (
    _counted("ii iii iv", 2)
    | _counted("vi vii viii ix", 6)
    | _counted("xi xii xiii xiv xv xvi xvii xviii xix xx xxi", 11)
)
ROMAN = {numeral: str(value) for numeral, value in _ROMAN_VALUES.items()}
"""Roman numerals of at least two letters; one letter is a word, an initial or a variable."""
WORDS = {word: str(value) for word, value in ORDINALS.items()} | MULTIPLES | WEEKDAYS
"""Words that are a number or a weekday by themselves."""

_TIME = re.compile(r"(\d{1,2})(?::([0-5]\d))?", re.ASCII)
_GROUPED = re.compile(r"-?\d{1,3}(?:,\d{2,3})+(?:\.\d+)?", re.ASCII)


def scaled(number: str, scale: int) -> str:
    """Multiply a number by "thousand", "k" and the like; what is no plain number stays as it is."""
    try:
        return f"{float(number) * scale:.15g}"
    except ValueError:
        return number


def plain_number(digits: str) -> str:
    """Write a run of digits without grouping commas and leading zeros: "1,000" and "1000" are one number.

    The decimals stay as they are, since version 3.10 is not version 3.1.
    """
    if not digits.isascii():
        digits = "".join(str(int(sign)) if sign.isdigit() else sign for sign in digits)
    if "," in digits and _GROUPED.fullmatch(digits):
        digits = digits.replace(",", "")
    return digits.lstrip("0") or "0" if digits.isdigit() else digits


def quantity(number: str, unit: str) -> str:
    """Return one key for a number with its unit, the same for "2 hours" and "120 minutes", for "$5.00" and "$5"."""
    time = _clock(number, unit)
    if time or not unit:
        return time or number
    base, factor = _SAME_QUANTITY.get(unit, (unit, 1))
    try:
        return f"{float(number) * factor:.15g} {base}"
    except ValueError:
        return f"{number} {base}"


def _clock(number: str, unit: str) -> str:
    """Return one key for a time of day, the same for "3 pm", "3:00 pm" and "15:00"; nothing for what is none.

    "9:00" may be in the morning or in the evening: it is the same as itself only. "09:00" is in the morning.
    """
    match = _TIME.fullmatch(number)
    if match is None or not (unit in ("am", "pm") or (not unit and match[2] and len(match[1]) == 2)):
        return ""
    hour = int(match[1])
    if unit and not 1 <= hour <= 12:
        return ""
    if unit:
        hour = hour % 12 + 12 * (unit == "pm")
    return f"{hour}:{match[2] or '00'} o'clock"
