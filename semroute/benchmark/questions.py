"""Questions for the benchmark: as many distinct ones as needed, with paraphrases that the rules serve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from semroute.entry import Answer, Usage

_ACTIONS: Final = (
    "export", "archive", "duplicate", "rename", "share", "print", "merge", "sort", "filter", "lock", "restore",
    "translate", "compress", "encrypt", "approve", "import", "delete", "hide", "label", "split", "sign", "preview",
    "download", "attach",
)  # fmt: skip
_THINGS: Final = (
    "a purchase order", "the sales report", "a customer record", "the price list", "a delivery note",
    "the meeting minutes", "a signed contract", "the inventory sheet", "a support ticket", "the holiday calendar",
    "a photo album", "the expense claim", "a training video", "the floor plan", "a draft newsletter",
    "the project timeline", "a quality checklist", "the seating chart", "a backup file", "the mailing list",
    "a user manual", "the budget table", "a shipping label", "the audit trail", "a voice recording",
    "the job description", "a gift voucher", "the recipe card", "a product page", "the access log",
)  # fmt: skip
_PLACES: Final = (
    "in billing", "in logistics", "in payroll", "in reporting", "in planning", "in sales", "in support",
    "in marketing", "in finance", "in security", "in accounting", "in hosting", "in booking", "in training",
    "in design", "in purchasing", "in research", "in ticketing", "in mapping", "in messaging",
)  # fmt: skip
_ROLES: Final = (
    "as a guest", "as a team lead", "with a keyboard shortcut", "without an admin", "on a tablet", "on a phone",
    "for another department", "for the whole team", "from the command line", "from a template", "in two languages",
    "in dark mode", "with a screen reader", "over a slow connection", "behind a proxy", "through the interface",
    "by voice", "on a shared computer", "for an auditor", "with a barcode scanner",
)  # fmt: skip
_FEATURES: Final = (
    "single sign-on", "an audit log", "custom domains", "priority support", "data residency", "offline access",
    "bulk editing", "a sandbox", "usage alerts", "role templates", "a status page", "video calls", "webhooks",
    "invoice splitting", "a public roadmap", "guest accounts", "automatic backups", "a style guide",
    "network restrictions", "spending limits",
)  # fmt: skip
_AUDIENCES: Final = (
    "teachers", "dentists", "architects", "florists", "translators", "plumbers", "lawyers", "bakers", "surveyors",
    "librarians", "pilots", "farmers", "tailors", "vets", "brewers", "printers", "couriers", "coaches", "editors",
    "carpenters",
)  # fmt: skip
_OTHER_WORDS: Final = ("How can I", "How would I", "What is the way to", "Please tell me how I can")
_STRIDE: Final = 7_919
"""A prime that walks through all combinations, so that neighbours in number differ in every word."""

STORED: Final = len(_ACTIONS) * len(_THINGS) * len(_PLACES) * len(_ROLES)
"""How many distinct questions there are to store."""
PARAPHRASES: Final = len(_OTHER_WORDS)
"""How many paraphrases each stored question has."""


def stored_question(number: int) -> str:
    """Return the stored question of a number below STORED; about 15 tokens, all distinct."""
    return f"How do I {_deed(number)}?"


def paraphrase(number: int, count: int) -> str:
    """Return a paraphrase of one of the first `count` stored questions; distinct below count x PARAPHRASES."""
    return f"{_OTHER_WORDS[number // count % PARAPHRASES]} {_deed(number % count)}?"


def new_question(number: int) -> str:
    """Return a question that none of the stored ones answers; all distinct."""
    seats = 3 + number // (len(_FEATURES) * len(_AUDIENCES) * len(_PLACES))
    feature, audience, place = _mixed(number, _FEATURES, _AUDIENCES, _PLACES)
    return f"Which plan includes {feature} for {seats} {audience} {place}?"


def answer_to(number: int) -> Answer:
    """Return the answer to a stored question: a paragraph, as a model would write it."""
    deed = _deed(number)
    text = (
        f"To {deed}, open the item first, choose the action in the toolbar, check the preview and confirm. "
        "The change is kept in the history, so that it can be looked up and undone by everybody who may edit the item. "
        "If the action is greyed out, the item is open somewhere else or the role lacks the right for it: close the "
        "other window, or ask an owner of the space for the right. Large items take a few seconds, and a message tells "
        f"when it is done. (Article {number}.)"
    )
    return Answer(text, model="bench", finish_reason="stop", usage=Usage(24, 110), usd=0.0001, latency_s=1.5)


def _deed(number: int) -> str:
    return " ".join(_mixed(number, _ACTIONS, _THINGS, _PLACES, _ROLES))


def _mixed(number: int, *lists: Sequence[str]) -> list[str]:
    """Choose one of each list, so that every number below the product of their lengths has words of its own."""
    total = 1
    for words in lists:
        total *= len(words)
    rest = number * _STRIDE % total
    chosen = []
    for words in lists:
        rest, at = divmod(rest, len(words))
        chosen.append(words[at])
    return chosen
