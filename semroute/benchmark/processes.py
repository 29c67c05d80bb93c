"""What only a new process can tell: the import, the first hit, and the same embedding on torch."""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from semroute.errors import SemrouteError

_REPEATS: Final = 3
_TIMEOUT_S: Final = 120.0
_FIRST_HIT: Final = """
import time
began = time.perf_counter()
import json, sys
import semroute
urls, tenant, question = json.loads(sys.argv[1])
cache = semroute.SemanticCache(*urls)
with semroute.scope(tenant=tenant):
    result = cache.lookup(question)
print(json.dumps([result.tier, time.perf_counter() - began]), flush=True)
"""


@dataclass(frozen=True, slots=True)
class FirstHit:
    """Seconds until the first hit by meaning: from the start of the process, and inside it."""

    wall_s: float
    inside_s: float


def import_seconds() -> float:
    """Return what `python -X importtime -c "import semroute"` says, in seconds; the median of a few processes."""
    return statistics.median(_import_once() for _ in range(_REPEATS))


def first_hit(urls: Sequence[str], tenant: str | None, questions: list[str]) -> FirstHit:
    """Start a process for each question, which opens a filled store and looks the question up.

    The medians are returned. Raises SemrouteError when a question is no hit by meaning.
    """
    runs = [_first_hit_once(urls, tenant, question) for question in questions]
    return FirstHit(statistics.median(r.wall_s for r in runs), statistics.median(r.inside_s for r in runs))


def _import_once() -> float:
    command = [sys.executable, "-X", "importtime", "-c", "import semroute"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    for line in done.stderr.splitlines():
        columns = [column.strip() for column in line.split("|")]
        if columns[-1] == "semroute":
            return int(columns[1]) / 1_000_000
    raise SemrouteError("the import-time report does not name semroute")


def _first_hit_once(urls: Sequence[str], tenant: str | None, question: str) -> FirstHit:
    command = [sys.executable, "-c", _FIRST_HIT, json.dumps([list(urls), tenant, question])]
    began = time.perf_counter()
    # In a group of its own, as below: Ctrl-C is for the benchmark, and is not to bring another traceback or error.
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0) as process:
        # The answer counts, not the end of the process.
        try:
            line = "" if process.stdout is None else process.stdout.readline()
        except KeyboardInterrupt:
            process.kill()
            raise
        wall_s = time.perf_counter() - began
    if not line:
        raise SemrouteError(f"a new process failed at its first lookup, with exit status {process.returncode}")
    tier, inside_s = json.loads(line)
    if tier != "l2":
        raise SemrouteError(f"the first lookup of a new process should be an l2 hit and is {tier}: {question!r}")
    return FirstHit(wall_s, inside_s)


def is_installed(package: str) -> bool:
    """Say whether a package could be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


class TorchProcess:
    """The same weights through sentence-transformers, in a process of its own."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self.why_not: str | None = None
        """Why nothing can be measured; None where it can."""

    def __enter__(self) -> Self:
        if not is_installed("sentence_transformers"):
            self.why_not = "sentence-transformers is not installed"
            return self
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "semroute.benchmark.torch_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            process_group=0,
        )
        if self._read() != "ready":
            self.why_not = "sentence-transformers could not load the weights of the default embedder"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def embed_seconds(self, text: str) -> float:
        """Return how long one embedding takes there."""
        if self._process is None or self._process.stdin is None:
            raise SemrouteError(f"torch is not measured: {self.why_not}")
        self._process.stdin.write(json.dumps(text) + "\n")
        self._process.stdin.flush()
        seconds = self._read()
        if not isinstance(seconds, float):
            raise SemrouteError("the process that embeds with torch has ended")
        return seconds

    def _read(self) -> object:
        if self._process is None or self._process.stdout is None:
            return None
        line = self._process.stdout.readline()
        return json.loads(line) if line else None
