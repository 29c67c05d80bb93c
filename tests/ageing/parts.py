"""What the tests of ageing have in common: a model that replies as it is told, and entries that live for a week."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from semroute.ageing import Ageing
from semroute.entry import Entry
from semroute.gate import Policy
from semroute.router.decision import RoutingDecision
from semroute.rules import Rules
from semroute.stores import Store
from semroute.testing.clock import START_S
from semroute.testing.entries import make_entry

MakeAgeing = Callable[..., Ageing]
RULES = Rules(Policy(), ())
UNSURE = RoutingDecision(confidence=0.3, origin="learned")
HOUR_S = 3_600.0
DAY_S = 86_400.0


@dataclass
class Model:
    """A model that replies as it is told, once it is let, and notes its prompts."""

    reply: str | Exception = "daily"
    prompts: list[str] = field(default_factory=list)
    may_reply: threading.Event = field(default_factory=threading.Event)
    is_asked: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.may_reply.set()

    def __call__(self, prompt: str) -> str:
        self.prompts.append(prompt)
        self.is_asked.set()
        assert self.may_reply.wait(30)
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply


def put(store: Store, query: str = "Who runs the shop?", **fields: object) -> Entry:
    """Store an entry that lives for a week, as the flow does, and return it."""
    epoch = store.get(make_entry(query).address, now=START_S).epoch
    entry = make_entry(query, **{"expires_at": START_S + 7 * DAY_S, "epoch": epoch, **fields})
    assert store.put(entry)
    return entry


def life_s(store: Store, entry: Entry) -> float | None:
    """Return how long an entry lives from the start on, or None where it is gone."""
    found = store.get(entry.address, now=START_S).entry
    return None if found is None else found.expires_at - START_S
