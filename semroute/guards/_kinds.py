"""Kinds of things of which a question names one: another one of the same kind makes another question."""

from __future__ import annotations

from semroute.guards._synonyms import canonical

_KINDS = {
    "plan": "basic pro premium standard enterprise starter plus free gold silver platinum bronze business team",
    "period": "hourly daily weekly monthly quarterly annually annual yearly",
    "format": "csv json xml pdf xlsx docx html markdown yaml parquet png jpeg jpg gif svg mp3 mp4 wav zip excel",
    "system": "windows macos mac linux ubuntu debian ios android chromeos iphone ipad",
    "browser": "chrome firefox safari edge opera",
    "language": "python java javascript typescript ruby rust golang php kotlin swift scala perl c++ c#",
    "tongue": "english french german spanish italian portuguese chinese japanese korean arabic hindi russian dutch",
    "payment": "paypal visa mastercard amex cash cheque check klarna bitcoin",
    "colour": "red blue green yellow black white orange purple pink brown grey",
    "compass": "north south east west northern southern eastern western",
    "pet": "dog cat horse cow pig sheep goat hamster rabbit snake turtle bird fish hen duck monkey",
    "meal": "breakfast lunch dinner supper brunch",
    "season": "spring summer autumn winter fall",
    "relative": "mother father brother sister son daughter wife husband uncle aunt cousin grandmother grandfather",
    "role": "admin owner member guest viewer editor moderator",
    "channel": "email sms phone chat fax",
    "data": "name email address birthday password username phone number avatar",
}


def _by_word() -> dict[str, str]:
    return {canonical(word): kind for kind, words in _KINDS.items() for word in words.split()}


_KIND_OF = _by_word()


def kind_of(key: str) -> str | None:
    """Return the kind that a canonical word belongs to, or None."""
    return _KIND_OF.get(key)
