"""What a stream has stored so far, found by position instead of by vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from semroute.entry import Alias, Candidate, Entry, Found
from semroute.guards import verdicts_of
from semroute.result import Verdict

if TYPE_CHECKING:
    from semroute.entry import Address, FloatVector
    from semroute.evaluation.neighbours import Neighbours
    from semroute.guards import Estimator, Guard

NOTHING: Final = Found(None, None, 0)


class StreamRecords:
    """The entries of a stream's requests, of which those that were inserted can be found.

    The search looks up precomputed neighbours of the request at `current`.
    """

    def __init__(self) -> None:
        self.entries: list[Entry | None] = []
        """One for each request: what would be stored for it, or None where the rules store nothing."""
        self.neighbours: Neighbours | None = None
        self.current = 0
        self._latest: dict[str, int] = {}
        self._aliases: dict[str, Alias] = {}
        self._put: Entry | None = None

    def reset(self) -> None:
        """Find nothing any more."""
        self._latest.clear()
        self._aliases.clear()

    def insert(self, position: int) -> None:
        """Let the entry of a request be found from now on; it replaces an earlier one of the same words."""
        entry = self.entries[position]
        if entry is not None:
            self._latest[entry.id] = position

    def position_of(self, entry_id: str) -> int:
        """Return which request made an entry."""
        return self._latest[entry_id]

    def taken(self) -> Entry | None:
        """Return the entry that was put last, once."""
        entry, self._put = self._put, None
        return entry

    def get(self, address: Address) -> Found:
        position = self._latest.get(address.exact)
        if position is not None:
            return Found(self.entries[position], None, 0)
        alias = self._aliases.get(address.exact)
        if alias is None or alias.entry_id not in self._latest:
            return NOTHING
        return Found(self.entries[self._latest[alias.entry_id]], alias, 0)

    def search(self, address: Address, vector: FloatVector, k: int) -> Sequence[Candidate]:
        found: list[Candidate] = []
        for position, similarity in [] if self.neighbours is None else self.neighbours.of(self.current):
            entry = self.entries[position]
            if entry is not None and self._latest.get(entry.id) == position:
                found.append(Candidate(entry.id, entry.query, similarity))
                if len(found) == k:
                    break
        return found

    def put(self, record: Entry | Alias) -> bool:
        if isinstance(record, Entry):
            self._put = record
        else:
            self._aliases[record.address.exact] = record
        return True


class RememberedGuards:
    """All guards as one, which remembers its verdicts, because a sweep asks of the same pairs again and again."""

    def __init__(self, guards: Sequence[Guard]) -> None:
        self._guards = tuple(guards)
        self._verdicts: dict[tuple[str, str], Verdict] = {}

    @property
    def name(self) -> str:
        return "guards"

    def check(self, query: str, candidate: Candidate) -> Verdict:
        """Return the first refusal, or the consent of them all."""
        key = (query, candidate.query)
        verdict = self._verdicts.get(key)
        if verdict is None:
            verdict = self._verdicts[key] = self._ask(query, candidate)
        return verdict

    def _ask(self, query: str, candidate: Candidate) -> Verdict:
        verdicts = verdicts_of(self._guards, query, candidate)
        refusal = next((verdict for verdict in verdicts if not verdict.passed), None)
        p_reusable = min((v.p_reusable for v in verdicts if v.p_reusable is not None), default=None)
        return Verdict(self.name, passed=True, p_reusable=p_reusable) if refusal is None else refusal


class RememberedVerifier(RememberedGuards):
    """The verifier, with its verdicts remembered."""

    def __init__(self, verifier: Estimator) -> None:
        super().__init__((verifier,))
        self.embedder = verifier.embedder
        self.digest = verifier.digest

    @property
    def name(self) -> str:
        return "verifier"
