"""A small world for replay tests: short rows, a quick embedder, and a model that says what the stream says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from semroute import Answer, Hit, Policy, SemanticCache, scope
from semroute.cli.replay import Reply, Witness, replay
from semroute.cli.stand_in import Accountant
from semroute.cli.stream import Row
from semroute.cli.tokens import TokenCounter
from semroute.testing.embedders import HashEmbedder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from semroute.cli.report import ReplayReport
    from semroute.result import Saved

BAD_POLICY = Policy("careless", threshold=0.5, verified_threshold=0.5, strict_threshold=0.5, floor=0.5)


def row(query: str, answer_class: str, **parts: Any) -> Row:
    return Row(query=query, answer_class=answer_class, **parts)


class CoreSubject:
    """Asks through the core cache alone: what LangChain adds is tested where LangChain is."""

    def __init__(self, cache: SemanticCache) -> None:
        self._cache = cache
        self._accountant = Accountant(TokenCounter(len, is_estimate=True))

    def ask(self, row: Row) -> Reply:
        with scope(tenant=row.tenant):
            history = [turn.model_dump() for turn in row.history]
            request = self._cache.request(row.query, system=row.system, history=history, model=row.model)
            found = self._cache.lookup(request)
            if isinstance(found, Hit):
                return Reply(found.answer.text, 0.0)
            self._cache.update(request, Answer(row.answer_text, model=row.model))
            return Reply(row.answer_text, 0.0)

    def saved_by(self, row: Row, hit: Hit) -> Saved | None:
        return self._accountant.saved(row)

    def is_right(self, row: Row, text: str) -> bool:
        return text == row.answer_text


def replayed(rows: Sequence[Row], *, is_careless: bool = False, store: str = "memory://") -> ReplayReport:
    """Replay rows through a fresh cache: the one as shipped, or one without guards that serves whatever is near."""
    witness = Witness()
    careless: dict[str, Any] = {"guards": (), "policy": BAD_POLICY} if is_careless else {}
    with SemanticCache(store, embedder=HashEmbedder(), listeners=[witness], **careless) as cache:
        return replay(rows, cache, CoreSubject(cache), witness)
