"""How long a lookup takes in each cache, on one Redis Stack with as many stored entries for each.

    make latency
    .venv/bin/python -m evals.peers_latency --entries 10000 --json

The others run in .venv-peers (`make peers` makes it), ours in the environment of this command: two processes, in which
the public lookup of each cache is timed. Rows go through all caches in turns, so that noise of the machine hits all
alike. evals/peers.md says how each is set up, and has the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from evals.peers import PYTHON, PeerError
from evals.peers_figures import (
    KINDS,
    SAME,
    SHIPPED,
    Alternating,
    CacheFigures,
    LatencyReport,
    Part,
    Tally,
    TimedAbout,
    bars,
    page,
    ratios,
)
from semroute.benchmark.questions import PARAPHRASES, STORED, answer_to, paraphrase, stored_question
from semroute.cli._output import progress
from semroute.errors import ConfigError, SemrouteError
from semroute.testing.redis_stack import redis_stack

MODELS: Final = ("model-a", "model-b")
ROUNDS: Final = 3
PROMPTS: Final = (
    "Which moon of Jupiter has volcanoes?",
    "How long does sourdough have to rise in a cold kitchen?",
    "Who painted the ceiling of the Sistine Chapel?",
    "What does a torn meniscus feel like?",
    "Why do cats knead blankets?",
)
_FOLDER: Final = Path(__file__).resolve().parent / "peers"
_CHUNK: Final = 500
_WARM_UP_ROWS: Final = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure."""

    entries: int = 10_000
    rows: int = 40
    in_a_row: int = 10
    """Lookups of one kind that a cache gets in one row; one more goes ahead of them and is not counted."""
    has_messages: bool = False
    """Ask the caches of LangChain with the messages of a chat model as well."""
    has_sized: bool = False
    """Time redisvl with a model of its default's size as well."""
    is_alone: bool = False
    """Leave the others out."""
    torch_threads: int | None = None
    """Of the others, as they ship; None leaves it to torch."""

    @property
    def lookups(self) -> int:
        """All lookups of one kind that each cache gets in one part."""
        return (self.rows + _WARM_UP_ROWS) * (self.in_a_row + 1)

    def of_torch(self, embedder: str) -> list[str]:
        """Return the options of a worker that are about torch, where the others embed with it."""
        if embedder != "shipped":
            return []
        threads = [] if self.torch_threads is None else [f"--torch-threads={self.torch_threads}"]
        return [*threads, *(["--default-size"] if self.has_sized else [])]

    def check(self) -> None:
        """Raise ConfigError for a plan that cannot be carried out."""
        if not 1 <= self.entries <= STORED or self.rows < 1 or self.in_a_row < 1:
            raise ConfigError(f"entries must be from 1 to {STORED:,}, and rows and lookups in a row at least 1: {self}")
        if self.torch_threads is not None and self.torch_threads < 1:
            raise ConfigError(f"torch_threads={self.torch_threads} is out of range: give 1 or more")
        if 2 * self.lookups > self.entries * PARAPHRASES:
            raise ConfigError(
                f"{self.entries} entries have {self.entries * PARAPHRASES} paraphrases, and {2 * self.lookups} are to "
                "be asked, each once: give more entries or fewer rows"
            )


@dataclass(frozen=True, slots=True)
class Batch:
    """Lookups of one kind in a row, with the answers that they should get; the first is not counted."""

    texts: Sequence[str]
    answers: Sequence[str]


class Worker:
    """A process that holds caches and times them."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._log = folder / f"{len(list(folder.iterdir()))}.log"
        with self._log.open("w") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8"
            )
        self.caches: list[Remote] = []

    def open(self) -> None:
        """Wait until the process says which caches it holds. Raises PeerError."""
        self.caches = [Remote(self, TimedAbout(**about)) for about in self._read()["caches"]]

    def tell(self, **order: object) -> dict[str, Any]:
        """Give an order and return what comes of it. Raises PeerError."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        return self._read()

    def close(self) -> None:
        """Let the process end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdout.close()
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        said: dict[str, Any] = json.loads(line)
        return said

    def _ended(self) -> PeerError:
        status = self._process.wait()
        return PeerError(f"a worker ended with status {status}: {self._log.read_text(errors='replace')[-2000:]}")


class Cache(Protocol):
    """A cache that is asked."""

    @property
    def about(self) -> TimedAbout: ...

    def ask(self, texts: Sequence[str], model: str) -> tuple[list[float], list[str | None]]:
        """Look texts up; return the seconds of each and what was served."""

    def store(self, text: str, model: str, answer: str) -> None:
        """Store an answer, as after a miss."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A cache in a worker."""

    worker: Worker
    about: TimedAbout

    def fill(self, numbers: Sequence[int]) -> None:
        """Store the questions of these numbers with their answers."""
        questions, answers = [stored_question(one) for one in numbers], [answer_to(one).text for one in numbers]
        self._tell("fill", questions=questions, answers=answers)

    def ask(self, texts: Sequence[str], model: str) -> tuple[list[float], list[str | None]]:
        said = self._tell("ask", texts=list(texts), model=model)
        return said["seconds"], said["answers"]

    def store(self, text: str, model: str, answer: str) -> None:
        self._tell("store", text=text, model=model, answer=answer)

    def _tell(self, deed: str, **order: object) -> dict[str, Any]:
        return self.worker.tell(do=deed, name=self.about.name, form=self.about.form, **order)


def main(given: Sequence[str] | None = None) -> int:
    """Read the arguments, measure, print."""
    usual = Plan()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=usual.entries, help="stored in each cache")
    parser.add_argument("--rows", type=int, default=usual.rows, help="turns through all caches")
    parser.add_argument("--in-a-row", type=int, default=usual.in_a_row, help="lookups of a cache in one turn")
    parser.add_argument(
        "--messages", action="store_true", help="ask LangChain's caches with a chat model's messages as well"
    )
    parser.add_argument(
        "--default-size", action="store_true", help="time redisvl with a model of its default's size as well"
    )
    parser.add_argument("--torch-threads", type=int, help="of the others, as they ship; 1 is quicker on a busy machine")
    parser.add_argument("--ours-only", action="store_true", help="leave the others out")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--python", type=Path, default=PYTHON, help="the interpreter that the others run in")
    arguments = parser.parse_args(given)
    plan = Plan(
        arguments.entries,
        arguments.rows,
        arguments.in_a_row,
        has_messages=arguments.messages,
        has_sized=arguments.default_size,
        is_alone=arguments.ours_only,
        torch_threads=arguments.torch_threads,
    )
    try:
        report = measure(plan, arguments.python)
    except SemrouteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    print(json.dumps(asdict(report), ensure_ascii=False) if arguments.json else page(report))
    return 0


def measure(plan: Plan, python: Path = PYTHON) -> LatencyReport:
    """Start a server and the caches, and time them. Raises ConfigError, StoreError, PeerError."""
    plan.check()
    if not plan.is_alone and not python.is_file():
        raise ConfigError(f"the others' environment is not there ({python}); make it with: make peers")
    forms = ["text", "messages"] if plan.has_messages else ["text"]
    supply = Supply(plan)
    parts: list[Part] = []
    alternating: list[Alternating] = []
    with redis_stack() as (node,), tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        with worker([sys.executable, str(_FOLDER / "timed_ours.py"), node.url, *forms], folder) as ours:
            fill(ours, plan.entries)
            for name, embedder in ((SHIPPED, "shipped"), (SAME, "ours")):
                with ExitStack() as stack:
                    workers = [ours]
                    if not plan.is_alone:
                        command = [str(python), str(_FOLDER / "timed_rivals.py"), node.url, *forms]
                        command += ["--embedder", embedder, *plan.of_torch(embedder)]
                        workers.append(stack.enter_context(worker(command, folder)))
                        fill(workers[-1], plan.entries)
                    caches = [cache for one in workers for cache in one.caches]
                    parts.append(time_part(name, caches, plan, supply))
                    if name == SHIPPED:
                        alternating = [alternate(cache) for cache in caches if cache.about.has_meaning]
    return LatencyReport(
        command=command_line(plan),
        machine=f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}",
        entries=plan.entries,
        per_kind=plan.rows * plan.in_a_row,
        parts=parts,
        alternating=alternating,
        bars=[] if plan.is_alone else bars(parts),
    )


def command_line(plan: Plan) -> str:
    """Return the command that measures the same."""
    words = ["python", "-m", "evals.peers_latency", f"--entries {plan.entries}", f"--rows {plan.rows}"]
    words.append(f"--in-a-row {plan.in_a_row}")
    words += ["--messages"] if plan.has_messages else []
    words += ["--default-size"] if plan.has_sized else []
    words += [] if plan.torch_threads is None else [f"--torch-threads {plan.torch_threads}"]
    return " ".join([*words, *(["--ours-only"] if plan.is_alone else [])])


@contextmanager
def worker(command: Sequence[str], folder: Path) -> Iterator[Worker]:
    """Run a worker while the block runs. Raises PeerError."""
    started = Worker(command, folder)
    try:
        started.open()
        yield started
    finally:
        started.close()


def fill(to: Worker, entries: int) -> None:
    """Store as many entries in each cache of a worker that is timed."""
    chunks = [
        (cache, range(start, min(start + _CHUNK, entries)))
        for cache in to.caches
        if cache.about.is_filled
        for start in range(0, entries, _CHUNK)
    ]
    for cache, numbers in progress(chunks, "storing", len(chunks)):
        cache.fill(numbers)
    to.tell(do="settle")


def time_part(name: str, caches: Sequence[Cache], plan: Plan, supply: Supply) -> Part:
    """Go through the caches row by row; each row begins with another of them, and asks all the same."""
    timed = [cache for cache in caches if cache.about.is_filled]
    tallies = [{kind: Tally([], times_misses=not one.about.has_meaning) for kind in KINDS} for one in timed]
    before = os.getloadavg()[0]
    for row in progress(range(-_WARM_UP_ROWS, plan.rows), name, plan.rows + _WARM_UP_ROWS):
        for kind in KINDS:
            batch = supply.batch(kind)
            for turn in range(len(timed)):
                at = (turn + row) % len(timed)
                seconds, answers = timed[at].ask(batch.texts, MODELS[0])
                if row >= 0:
                    for found in list(zip(seconds, answers, batch.answers, strict=True))[1:]:
                        tallies[at][kind].note(*found)
    figures = [
        CacheFigures(cache.about, *(tally[kind].lookups() for kind in KINDS))
        for cache, tally in zip(timed, tallies, strict=True)
    ]
    return Part(name, figures, ratios(figures), (round(before, 2), round(os.getloadavg()[0], 2)))


class Supply:
    """Questions to ask: exact ones as often as needed, each paraphrase once.

    A paraphrase that was served is an exact repeat from then on, in our caches.
    """

    def __init__(self, plan: Plan, seed: int = 0) -> None:
        self._plan = plan
        self._random = random.Random(seed)
        others = self._random.sample(range(plan.entries * PARAPHRASES), 2 * plan.lookups)
        self._others = iter(others)

    def batch(self, kind: str) -> Batch:
        """Return the next lookups of a kind."""
        count = self._plan.in_a_row + 1
        if kind == "exact":
            numbers = [self._random.randrange(self._plan.entries) for _ in range(count)]
            return Batch([stored_question(one) for one in numbers], [answer_to(one).text for one in numbers])
        others = [next(self._others) for _ in range(count)]
        texts = [paraphrase(one, self._plan.entries) for one in others]
        return Batch(texts, [answer_to(one % self._plan.entries).text for one in others])


def alternate(cache: Cache, prompts: Sequence[str] = PROMPTS, rounds: int = ROUNDS) -> Alternating:
    """Let two models take turns on each prompt, as an application with a cache would: a miss is paid for and stored."""
    counts = {"paid": 0, "right": 0, "wrong_model": 0, "wrong_question": 0}
    for prompt in prompts:
        for model in MODELS * rounds:
            _, (answer,) = cache.ask([prompt], model)
            if answer is None:
                cache.store(prompt, model, _said(model, prompt))
            counts[_verdict(answer, model, prompt)] += 1
    return Alternating(cache.about, len(prompts) * len(MODELS) * rounds, **counts)


def _verdict(answer: str | None, model: str, prompt: str) -> str:
    if answer is None:
        return "paid"
    if answer == _said(model, prompt):
        return "right"
    return "wrong_model" if answer in (_said(one, prompt) for one in MODELS) else "wrong_question"


def _said(model: str, prompt: str) -> str:
    return f"So says {model} when it is asked: {prompt}"


if __name__ == "__main__":
    sys.exit(main())
