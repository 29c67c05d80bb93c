"""The mixed stream that the gate is measured on: its requests, their decisions, and what each of them finds.

Questions of QQP, whose answers are taken to last, and questions of SituatedQA, some of which have another answer after
a while, in one fixed order over 30 days; each of SituatedQA is asked four times.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from semroute.cli._output import progress
from semroute.embedders import Embedder
from semroute.entry import Candidate
from semroute.evaluation.tables import read_rows, text_of
from semroute.freshness import LIFETIMES
from semroute.gate import open_gate
from semroute.guards.verifier import Verifier
from semroute.policy import Policy
from semroute.request import Request, fold
from semroute.router._file import RouterFile
from semroute.router._heads import load
from semroute.router.decision import RoutingDecision
from semroute.router.learned import LearnedRouter
from semroute.tuning.router_heads import SETTINGS, LabelledPrompt, fit_heads
from semroute.tuning.verifier_training import digests

T = TypeVar("T")
Flags: TypeAlias = NDArray[np.bool_]
Numbers: TypeAlias = NDArray[np.float64]
Places: TypeAlias = NDArray[np.intp]

HOUR: Final = 3_600.0
DAY: Final = 24 * HOUR
SPAN: Final = 30 * DAY
ASKED_AGAIN: Final = (0.5 * HOUR, 3 * DAY, 12 * DAY)
"""How long after its first time a question of SituatedQA is asked again."""
REWORDED: Final = (
    *("{}?", "please tell me {}", "hi, {}?", "do you know {}?", "i would like to know {}", "quick question: {}?"),
    *("can you tell me {}", "{} thanks"),
)
"""How people ask the same thing in other words, none of which means anything."""
LEAST_SIMILARITY: Final = 0.75
"""Nothing less similar is looked at by the verifier, behind the shipped policy."""
_BLOCK: Final = 256


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """Requests in the order of their arrival; arrays have one item a request."""

    texts: tuple[str, ...]
    questions: tuple[str, ...]
    """What is asked, before it is reworded."""
    at: Numbers
    """Seconds since the beginning."""
    answers: Places
    """Requests with the same number want the same answer."""
    changes: Flags
    """Whether that answer is another one after a while."""
    is_situated: Flags

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """The nearest answer that is still kept, for each request; -1 is nobody."""

    places: Places
    similarities: Numbers


def mixed(data: Path, limit: int, seed: int, *, same_words: bool) -> Stream:
    """Return the stream: the first questions of QQP at random times, and those of SituatedQA four times each."""
    rng = np.random.default_rng(seed)
    asked: list[tuple[float, str, str, str, bool, bool]] = []
    rows = read_rows(data / "qqp" / "stream.csv.gz", columns=("text", "class_norm"), limit=limit)
    for row, at in zip(rows, rng.uniform(0.0, SPAN, len(rows)).tolist(), strict=True):
        text = fold(text_of(row, "text"))
        asked.append((at, text, text, f"q {text_of(row, 'class_norm')}", False, False))
    rows = read_rows(
        data / "situatedqa" / "context_dependence.csv", columns=("context", "question", "dependent", "source_dataset")
    )
    temporal = [row for row in rows if row["context"] == "temp"]
    for row, start in zip(temporal, rng.uniform(0.0, SPAN - max(ASKED_AGAIN), len(temporal)).tolist(), strict=True):
        question = fold(text_of(row, "question"))
        ways = ["{}"] * 4 if same_words else ["{}", *rng.choice(REWORDED, len(ASKED_AGAIN), replace=False).tolist()]
        for way, later in zip(ways, (0.0, *ASKED_AGAIN), strict=True):
            is_dependent = text_of(row, "dependent") == "1"
            asked.append((start + later, way.format(question), question, f"s {question}", is_dependent, True))
    asked.sort(key=lambda one: one[0])
    at, texts, questions, answers, changes, is_situated = zip(*asked, strict=True)
    _, numbers = np.unique(answers, return_inverse=True)
    return Stream(texts, questions, np.array(at), numbers, np.array(changes), np.array(is_situated))


def fitted_apart(
    prompts: Sequence[LabelledPrompt], embedder: Embedder, folder: Path, seed: int
) -> tuple[LearnedRouter, LearnedRouter]:
    """Return two routers, each fitted without the questions of SituatedQA whose `half_of` is its place."""
    halves = half_of([one.prompt for one in prompts])
    tested = {
        half: {one.prompt for one in _of(prompts, halves == half) if one.source == "situatedqa"} for half in (0, 1)
    }
    routers = []
    for half in (0, 1):
        rest = [one for one in prompts if one.prompt not in tested[half]]
        told = repr((rest, sorted(SETTINGS.items()), embedder.identity, seed))
        path = folder / f"router-{half}-{blake2b(told.encode(), digest_size=6).hexdigest()}.json"
        if not path.is_file():
            heads = fit_heads(rest, embedder, progress=tracked, seed=seed).told
            RouterFile(load(heads, embedder=embedder.identity), None).write(path)
        routers.append(LearnedRouter(file=path))
    return routers[0], routers[1]


def half_of(questions: Sequence[str]) -> Places:
    """Return 0 or 1 for each question, the same one for the same words."""
    return (digests(questions) % 2).astype(np.intp)


def _of(items: Sequence[T], which: Flags) -> list[T]:
    return [item for item, is_meant in zip(items, which.tolist(), strict=True) if is_meant]


def decided(
    stream: Stream, vectors: NDArray[np.float32], routers: tuple[LearnedRouter, LearnedRouter]
) -> list[RoutingDecision]:
    """Decide about every request by the router that has not seen its question."""
    known: dict[str, RoutingDecision] = {}
    halves = half_of(stream.questions).tolist()
    for place in tracked(range(len(stream)), "routing"):
        text = stream.texts[place]
        if text not in known:
            known[text] = routers[halves[place]].route(Request(query=text), vectors[place])
    return [known[text] for text in stream.texts]


def lives_of(decisions: Sequence[RoutingDecision], policy: Policy, *, caps_retrieval: bool = False) -> Numbers:
    """Return how many seconds each answer is kept: 0 for a request that bypasses the cache.

    `caps_retrieval` is the flow's rule that an answer out of documents is kept for no longer than slow ones are.
    """
    lives = []
    for decision in decisions:
        life = LIFETIMES[decision.staleness]
        slow = LIFETIMES["slow"]
        if life is None or open_gate(decision, policy, has_verifier=False).is_bypass:
            lives.append(0.0)
        elif caps_retrieval and decision.intent == "retrieval" and slow is not None:
            lives.append(min(life, slow).total_seconds())
        else:
            lives.append(life.total_seconds())
    return np.array(lives)


def nearest_alive(
    stream: Stream, vectors: NDArray[np.float32], ways: Mapping[str, tuple[Numbers, Numbers | None]]
) -> dict[str, Nearest]:
    """Find, for each way to keep answers, the nearest earlier request whose answer is still there.

    A way is for how many seconds each answer is kept, and how old a one each request takes, where that matters.
    The same words replace what they stored before, so that of their answers only the latest is ever found.
    """
    n = len(stream)
    found = {name: Nearest(np.full(n, -1, np.intp), np.zeros(n)) for name in ways}
    for start in tracked(range(0, n, _BLOCK), "nearest"):
        stop = min(start + _BLOCK, n)
        scores = vectors[start:stop] @ vectors[:stop].T
        scores[np.arange(stop)[None, :] >= np.arange(start, stop)[:, None]] = -np.inf
        for name, (life, oldest) in ways.items():
            is_gone = (stream.at[:stop] + life[:stop])[None, :] <= stream.at[start:stop, None]
            if oldest is not None:
                is_gone |= stream.at[:stop][None, :] <= (stream.at - oldest)[start:stop, None]
            kept = np.where(is_gone, -np.inf, scores)
            best = kept.argmax(axis=1)
            similarities = kept[np.arange(stop - start), best]
            is_there = similarities > -np.inf
            found[name].places[start:stop] = np.where(is_there, best, -1)
            found[name].similarities[start:stop] = np.where(is_there, np.clip(similarities, 0.0, 1.0), 0.0)
    for name, (life, _) in ways.items():
        _take_latest(stream, life, found[name])
    return found


def _take_latest(stream: Stream, life: Numbers, nearest: Nearest) -> None:
    """Put the same words, where they are still kept, in the place of the nearest; and the latest of equals."""
    copies: dict[str, list[int]] = defaultdict(list)
    for place, text in enumerate(stream.texts):
        own = copies[text]
        if own and stream.at[own[-1]] + life[own[-1]] > stream.at[place]:
            nearest.places[place], nearest.similarities[place] = own[-1], 1.0
        elif nearest.places[place] >= 0:
            others = copies[stream.texts[nearest.places[place]]]
            nearest.places[place] = others[bisect_left(others, place) - 1]
        own.append(place)


def probabilities_of(stream: Stream, verifier: Verifier, nearest: Mapping[str, Nearest]) -> dict[str, Numbers]:
    """Return P(reusable) of what is nearest; 1 for the same words, which the exact tier serves, 0 for what is far."""
    found = {name: np.zeros(len(stream)) for name in nearest}
    for place in tracked(range(len(stream)), "verifying"):
        text = stream.texts[place]
        similar = {
            int(one.places[place]): float(one.similarities[place])
            for one in nearest.values()
            if one.places[place] >= 0 and one.similarities[place] >= LEAST_SIMILARITY
        }
        candidates = [Candidate(str(at), stream.texts[at], similarity) for at, similarity in similar.items()]
        told = verifier.probabilities(text, candidates) if candidates else []
        p = {at: 1.0 if stream.texts[at] == text else one for at, one in zip(similar, told, strict=True)}
        for name, one in nearest.items():
            found[name][place] = p.get(int(one.places[place]), 0.0)
    return found


def drawn(stream: Stream, samples: int, seed: int) -> Iterator[Numbers]:
    """Yield how often each request counts: first once each, then bootstrap samples in which questions are drawn whole.

    All requests that want the same answer are drawn together, since what becomes of them hangs together.
    """
    yield np.ones(len(stream))
    rng = np.random.default_rng(seed)
    n = int(stream.answers.max()) + 1
    for _ in range(samples):
        yield np.bincount(rng.integers(0, n, n), minlength=n)[stream.answers].astype(np.float64)


def tracked(items: Sequence[T], what: str) -> Iterator[T]:
    """Pass items through, with a progress bar on stderr."""
    return progress(items, what, len(items))
