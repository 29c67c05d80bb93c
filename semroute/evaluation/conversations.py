"""Conversations: the same words after different earlier turns must not share an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from semroute.cache import SemanticCache
from semroute.config import Settings
from semroute.entry import Answer
from semroute.errors import ConfigError
from semroute.evaluation.flows import Flows, LoneRecords
from semroute.evaluation.tables import Row, label_of, text_of
from semroute.evaluation.vectors import AheadEmbedder, Track, untracked
from semroute.request import Message, Request, Scope
from semroute.result import Bypass, Hit, Stored

if TYPE_CHECKING:
    from semroute.embedders import Embedder
    from semroute.entry import JSON
    from semroute.gate import Policy

_EMBED_DEADLINE_S = 3600.0


@dataclass(frozen=True, slots=True)
class Turn:
    """A user's turn in its conversation, with the class of all turns that its answer is right for."""

    request: Request
    answer_class: str


@dataclass(frozen=True, slots=True)
class TurnPair:
    """Two turns: the first is stored, the second asked."""

    stored: Request
    asked: Request
    is_positive: bool


@dataclass(frozen=True, slots=True)
class ConversationFigures:
    """What was served over conversations."""

    n: int
    """Turns asked."""
    reusable: int
    """Turns for which a right answer had been given before, by their labels."""
    hits: int
    """Turns that were served a right answer."""
    false_hits: int
    """Turns that were served the answer of another class."""
    bypasses: int
    stored: int
    """Answers that were stored: a false hit can only come of one."""


def turns_of(rows: Sequence[Row], *, history: str, query: str, answer_class: str) -> list[Turn]:
    """Read turns out of rows; optional columns `system` and `tenant` are taken along. Raises ConfigError."""
    return [Turn(_request(row, history, query), text_of(row, answer_class)) for row in rows]


def turn_pairs_of(rows: Sequence[Row], turns: Sequence[Row], *, history: str, query: str) -> list[TurnPair]:
    """Read pairs of turns: `id_a` is stored, `id_b` asked, `label` (0 without such a column) says whether to hit.

    The ids refer to the rows of `turns`. Raises ConfigError.
    """
    by_id = {text_of(turn, "id"): turn for turn in turns}

    def request(row: Row, column: str) -> Request:
        turn = by_id.get(text_of(row, column))
        if turn is None:
            raise ConfigError(f"no turn has the id {row[column]!r} of column {column}")
        return _request(turn, history, query)

    return [
        TurnPair(request(row, "id_a"), request(row, "id_b"), "label" in row and label_of(row, "label")) for row in rows
    ]


def evaluate_turns(
    turns: Sequence[Turn], embedder: Embedder, policy: Policy, track: Track = untracked
) -> ConversationFigures:
    """Send turns through one cache in the order of arrival; a turn that is not served is answered and stored.

    A hit on an answer of the turn's own class is a hit, on that of another class a false hit.
    """
    ahead = AheadEmbedder(embedder)
    ahead.prepare((turn.request.query for turn in turns), track)
    known: set[str] = set()
    reusable = hits = false_hits = bypasses = stored = 0
    settings = Settings(embed_deadline_s=_EMBED_DEADLINE_S)
    with SemanticCache("memory://", embedder=ahead, policy=policy, settings=settings) as cache:
        for turn in track(turns, "asking"):
            reusable += turn.answer_class in known
            known.add(turn.answer_class)
            match cache.lookup(turn.request):
                case Hit(answer):
                    is_right = answer.payload == turn.answer_class
                    hits, false_hits = hits + is_right, false_hits + (not is_right)
                case Bypass():
                    bypasses += 1
                case _:
                    kept = cache.update(turn.request, Answer("the answer", payload=turn.answer_class))
                    stored += isinstance(kept, Stored)
    return ConversationFigures(len(turns), reusable, hits, false_hits, bypasses, stored)


def evaluate_turn_pairs(
    pairs: Sequence[TurnPair], embedder: Embedder, policy: Policy, track: Track = untracked
) -> ConversationFigures:
    """Store the first turn of each pair in an empty cache and ask the second; the label says whether to hit."""
    ahead = AheadEmbedder(embedder)
    ahead.prepare((request.query for pair in pairs for request in (pair.stored, pair.asked)), track)
    records = LoneRecords()
    flows = Flows(records, ahead, policy)
    hits = false_hits = bypasses = stored = 0
    for pair in track(pairs, "asking"):
        records.forget()
        stored += isinstance(flows.update(flows.ask(pair.stored), Answer("the answer")), Stored)
        result = flows.lookup(flows.ask(pair.asked))
        hits += isinstance(result, Hit) and pair.is_positive
        false_hits += isinstance(result, Hit) and not pair.is_positive
        bypasses += isinstance(result, Bypass)
    positives = sum(pair.is_positive for pair in pairs)
    return ConversationFigures(len(pairs), positives, hits, false_hits, bypasses, stored)


def _request(row: Row, history: str, query: str) -> Request:
    tenant, system = row.get("tenant"), row.get("system")
    turns = row[history]
    if not isinstance(turns, list):
        raise ConfigError(f"column {history} must hold a list of turns, not {turns!r}")
    return Request.of(
        text_of(row, query),
        history=_messages(turns, history),
        system=system if isinstance(system, str) else "",
        scope=Scope(tenant=tenant if isinstance(tenant, str) and tenant.strip() else None),
    )


def _messages(turns: Sequence[JSON], column: str) -> list[Message]:
    """Read earlier turns: objects with role and content, or plain texts, of which the last is the assistant's."""
    messages = []
    for position, turn in enumerate(turns):
        match turn:
            case str():
                is_user = (len(turns) - position) % 2 == 0
                messages.append(Message("user" if is_user else "assistant", turn))
            case {"role": str(role), "content": str(content)}:
                messages.append(Message(role, content))
            case _:
                raise ConfigError(f"column {column} holds a turn that is neither text nor role and content: {turn!r}")
    return messages
