from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# No test asks a model hub, and neither does a process that a test starts.
os.environ["HF_HUB_OFFLINE"] = "1"

# Before anything imports it (E402 below), so that the asserts of the public suites tell what they saw.
pytest.register_assert_rewrite("semroute.testing")

from semroute import Answer, Request, SemanticCache  # noqa: E402
from semroute.result import Lookup, Update  # noqa: E402
from semroute.testing.clock import FakeClock  # noqa: E402
from semroute.testing.embedders import HashEmbedder  # noqa: E402

RunPython = Callable[..., str]

# No test depends on how quick a machine is.
settings.register_profile("semroute", deadline=None)
settings.load_profile("semroute")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("SEMROUTE_")]:
        if variable != "SEMROUTE_MODEL_DIR":
            monkeypatch.delenv(variable)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def make_cache(clock: FakeClock) -> Iterator[Callable[..., SemanticCache]]:
    """Make caches in memory, with a quick embedder and a clock that stands still, and close them afterwards."""
    made: list[SemanticCache] = []

    def make(store: object = "memory://", **parts: object) -> SemanticCache:
        cache = SemanticCache(store, **{"embedder": HashEmbedder(), "clock": clock, "embed_deadline_s": 60.0, **parts})
        made.append(cache)
        return cache

    yield make
    for cache in made:
        cache.close()


@pytest.fixture
def cache(make_cache: Callable[..., SemanticCache]) -> SemanticCache:
    return make_cache()


class SyncFace:
    """The sync methods of a cache, to be awaited like the async ones."""

    async def lookup(self, cache: SemanticCache, request: Request | str) -> Lookup:
        return cache.lookup(request)

    async def update(self, cache: SemanticCache, request: Request | str, answer: Answer | str) -> Update:
        return cache.update(request, answer)

    async def key(self, cache: SemanticCache, request: Request) -> str:
        return cache.key(request)

    async def close(self, cache: SemanticCache) -> None:
        cache.close()


class AsyncFace:
    """The async methods of a cache."""

    async def lookup(self, cache: SemanticCache, request: Request | str) -> Lookup:
        return await cache.alookup(request)

    async def update(self, cache: SemanticCache, request: Request | str, answer: Answer | str) -> Update:
        return await cache.aupdate(request, answer)

    async def key(self, cache: SemanticCache, request: Request) -> str:
        return await cache.akey(request)

    async def close(self, cache: SemanticCache) -> None:
        await cache.aclose()


@pytest.fixture(params=[SyncFace, AsyncFace], ids=["sync", "async"])
def face(request: pytest.FixtureRequest) -> SyncFace | AsyncFace:
    """Either face of a cache: what a test says of one holds for the other."""
    return request.param()


@pytest.fixture
def own_verifier(tmp_path: Path) -> Path:
    """Return the file of a verifier that goes with HashEmbedder and looks at the similarity alone."""
    from semroute.guards._verifier_file import Coefficients, write, written
    from semroute.guards._verifier_forest import Forest

    path = tmp_path / "own.json"
    coefficients = Coefficients(HashEmbedder().identity, ("the", "my", "i"), -16.0, 20.0, Forest.empty(3))
    write(path, written(coefficients, {"data": "none"}))
    return path


@pytest.fixture
def run_python(tmp_path: Path) -> RunPython:
    """Run a script in a new process, in an empty folder, and return what it printed."""

    def run(script: str, *arguments: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", script, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
            env={**os.environ, "SEMROUTE_EMBED_DEADLINE_S": "60", **environment},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
