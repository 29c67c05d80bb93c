"""The learned verifier: the probability that the answer to a stored question is right for the one that is asked.

Boosted trees over what two texts share and what is left over, and over the similarity of their vectors. Fitted offline
(`semroute.tuning.verifier_training`), shipped as coefficients with a card, evaluated by numpy alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from semroute.errors import ConfigError
from semroute.guards._features import Counts, Found, Profile, profile
from semroute.guards._pair import Pair, compare
from semroute.guards._text import MAX_CHARS, REMEMBERED, SHORT, analyse
from semroute.guards._verifier_file import FILE_NAME, Coefficients, read
from semroute.guards._vetoes import veto
from semroute.result import Verdict

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from semroute.entry import JSON, Candidate

SHIPPED: Final = Path(__file__).with_name(FILE_NAME)
MOST_VETOED: Final = 0.49
"""A pair with a difference that is never served has no greater probability, whatever the trees say."""


class Verifier:
    """A guard that estimates P(reusable | query, candidate); the gate compares it with the least that it asks for.

    A candidate with a difference that is never to be served (`semroute.guards._vetoes`) gets no more than MOST_VETOED,
    and the verdict says what was found. Only a candidate that cannot be judged does not pass.
    """

    name = "verifier"

    def __init__(self, coefficients: Coefficients, card: Mapping[str, JSON]) -> None:
        self.coefficients = coefficients
        self.card = card
        self._short_profile = lru_cache(maxsize=REMEMBERED)(self._profiled)

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None, *, embedder: str | None = None) -> Self:
        """Read a verifier from a file, or from the folder that holds its file; None reads the one that ships.

        `embedder` is the identity of the embedder that makes the similarities. Raises ConfigError for a file that is
        missing, damaged, of another version, whose card does not match its coefficients, or of another embedder.
        """
        named = SHIPPED if path is None else Path(path)
        verifier = cls(*read(named / FILE_NAME if named.is_dir() else named))
        if embedder is not None:
            verifier.require(embedder)
        return verifier

    def __repr__(self) -> str:
        return f"<Verifier {self.digest}, fitted on {self.embedder}>"

    @property
    def embedder(self) -> str:
        """Identity of the embedder whose similarities it was fitted on."""
        return self.coefficients.embedder

    @property
    def digest(self) -> str:
        """Digest of its coefficients."""
        return self.coefficients.digest

    def require(self, embedder: str) -> None:
        """Refuse to judge similarities of another embedder. Raises ConfigError that says what to do."""
        if embedder != self.embedder:
            raise ConfigError(
                f"this verifier was fitted on similarities of the embedder {self.embedder}, and they come from "
                f"{embedder}: use that embedder, or fit a verifier for this one (semroute verifier train)"
            )

    def check(self, query: str, candidate: Candidate) -> Verdict:
        """Estimate how likely the candidate's answer is right; a candidate that cannot be judged does not pass."""
        counts = Counts.none()
        counted = self._counted(query, candidate, counts, self._profile(query))
        if isinstance(counted, str):
            return Verdict(self.name, passed=False, why=counted)
        p = self._estimated(counts)[0]
        why = veto(*counted)
        return Verdict(self.name, passed=True, why=why, p_reusable=min(p, MOST_VETOED) if why else p)

    def probabilities(self, query: str, candidates: Sequence[Candidate]) -> list[float]:
        """Estimate P(reusable) of several candidates at once; 0.0 for one that cannot be judged."""
        counts = Counts.none()
        asked = self._profile(query)
        counted = [self._counted(query, candidate, counts, asked) for candidate in candidates]
        estimated = iter(self._estimated(counts) if counts.similarities else ())
        return [0.0 if isinstance(one, str) else _held_down(next(estimated), one) for one in counted]

    def _estimated(self, counts: Counts) -> list[float]:
        """Return the probabilities of pairs that were counted, before any veto."""
        import numpy as np

        known = self.coefficients
        sums = known.forest.sums(counts.features()).tolist()
        margins = [known.intercept + known.similarity * s + x for s, x in zip(counts.similarities, sums, strict=True)]
        # As `probability` does it: of a few numbers Python's own arithmetic takes less time than numpy's.
        odds = np.exp([-abs(margin) for margin in margins]).tolist()
        return [(1.0 if margin >= 0 else o) / (1.0 + o) for margin, o in zip(margins, odds, strict=True)]

    def _counted(
        self, query: str, candidate: Candidate, counts: Counts, asked: Profile | None
    ) -> tuple[Pair, Found] | str:
        """Add a candidate to the counts; or say why it cannot be judged."""
        why = _cannot(query, candidate)
        pair = None if why else compare(query, candidate.query)
        if pair is None or asked is None:
            return why if why else "too long to compare"
        rarity = self.coefficients.rarity
        stored = self._profile(candidate.query)
        assert stored is not None, "what can be compared can be counted"
        return pair, counts.add(pair, asked, stored, candidate.similarity, rarity)

    def _profile(self, text: str) -> Profile | None:
        return self._short_profile(text) if len(text) <= SHORT else self._profiled(text)

    def _profiled(self, text: str) -> Profile | None:
        taken_apart = None if len(text) > MAX_CHARS else analyse(text)
        return None if taken_apart is None else profile(taken_apart, self.coefficients.rarity)


def _held_down(p: float, counted: tuple[Pair, Found]) -> float:
    """Hold the probability of a vetoed pair down; where it is low already, no veto is looked for."""
    return MOST_VETOED if p > MOST_VETOED and veto(*counted) else p


def probability(margins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn log-odds into probabilities."""
    import numpy as np

    odds: NDArray[np.float64] = np.exp(-np.abs(margins))
    return np.where(margins >= 0, 1.0, odds) / (1.0 + odds)


def _cannot(query: str, candidate: Candidate) -> str:
    """Say why nothing can be estimated, or nothing."""
    if max(len(query), len(candidate.query)) > MAX_CHARS:
        return "too long to compare"
    # Written so that a similarity that is not a number cannot be judged either.
    if not 0.0 <= candidate.similarity <= 1.0:
        return f"the similarity {candidate.similarity!r} is none in [0, 1]"
    return ""
