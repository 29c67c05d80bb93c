"""The list of a fleet's shards, as every shard keeps it: names, weights and an epoch; no address, no credentials."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from semroute.errors import ConfigError, StoreError
from semroute.stores.ring import HashRing, check_name

if TYPE_CHECKING:
    pass

_VERSION: Final = 1
_UID_BYTES: Final = 8
_MOST_FORMER: Final = 4
_MOST_CHARACTERS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Members:
    """Which shards make up a fleet."""

    fleet: str
    """Says which fleet it is; it stays when shards come and go."""
    epoch: int
    """Raised by every change; of two lists the one of the higher epoch holds."""
    weights: Mapping[str, float]
    former: tuple[Mapping[str, float], ...] = ()
    """The lists before, the latest first, as long as entries may still lie where those put them."""

    @property
    def rank(self) -> tuple[int, str]:
        """Orders lists: of two that were made at the same moment, all clients take the same one."""
        return self.epoch, json.dumps(_form(self), sort_keys=True)

    def followed_by(self, weights: Mapping[str, float]) -> Members:
        """Return the list that comes after this one."""
        former = (self.weights, *self.former) if dict(weights) != dict(self.weights) else self.former
        return Members(self.fleet, self.epoch + 1, dict(weights), former[:_MOST_FORMER])

    def settled(self) -> Members:
        """Return the list without those before it: everything lies where it belongs."""
        return Members(self.fleet, self.epoch + 1, self.weights)


@dataclass(frozen=True, slots=True)
class Papers:
    """What a shard keeps of itself: who it is, and which fleet it is of."""

    uid: str
    """Made up with the papers, so that one server under two host names is known to be one."""
    name: str
    members: Members | None = None
    is_replacement: bool = False
    """Whether it came empty in the place of the shard that had the name, and nobody has put things right since."""


def new_papers(name: str, members: Members | None = None, *, is_replacement: bool = False) -> Papers:
    return Papers(secrets.token_hex(_UID_BYTES), name, members, is_replacement)


def first_members(papers: Iterable[Papers], former: Iterable[Mapping[str, float]]) -> Members:
    """Return the first list of a fleet; clients that found it at the same moment call it the same."""
    uids = {one.name: one.uid for one in papers}
    fleet = blake2b("\0".join(sorted(uids.values())).encode(), digest_size=_UID_BYTES, person=b"semroute fleet")
    return Members(fleet.hexdigest(), 1, dict.fromkeys(sorted(uids), 1.0), tuple(former))


def write_papers(papers: Papers) -> str:
    """Turn papers into versioned JSON."""
    members = None if papers.members is None else _form(papers.members)
    form = {"v": _VERSION, "uid": papers.uid, "name": papers.name, "fleet": members}
    if papers.is_replacement:
        form["is_replacement"] = True
    return json.dumps(form, sort_keys=True, separators=(",", ":"))


def read_papers(text: str | None) -> Papers | None:
    """Undo `write_papers`; what is damaged counts as none. Raises ConfigError for those of another release."""
    if text is None:
        return None
    try:
        form: Any = json.loads(text[:_MOST_CHARACTERS])
        version = form["v"]
        if version == _VERSION:
            fleet = form["fleet"]
            members = None if fleet is None else _members(fleet)
            return Papers(str(form["uid"]), check_name(form["name"]), members, form.get("is_replacement") is True)
    except (ValueError, TypeError, KeyError, AttributeError, ConfigError):
        return None
    raise ConfigError(
        f"a shard's list of its fleet has format version {version!r}, this release reads {_VERSION}: upgrade semroute"
    )


def _form(members: Members) -> dict[str, Any]:
    return {
        "id": members.fleet,
        "epoch": members.epoch,
        "weights": dict(members.weights),
        "former": [dict(weights) for weights in members.former],
    }


def _members(form: Any) -> Members:
    lists = [dict(HashRing(weights).weights) for weights in (form["weights"], *form["former"])]
    return Members(str(form["id"]), int(form["epoch"]), lists[0], tuple(lists[1:]))


def free_names(taken: Iterable[str]) -> Iterable[str]:
    """Yield the names that shards get, in order, without those that are taken: s00, s01, s02 …"""
    known = set(taken)
    for number in range(10_000):
        name = f"s{number:02}"
        if name not in known:
            known.add(name)
            yield name
    raise StoreError("there is no name left for another shard")
