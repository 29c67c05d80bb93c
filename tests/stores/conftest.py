from __future__ import annotations

import os
import socket
import traceback
import warnings
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import redis

# Before anything imports it (E402 below), so that the asserts of the public suites tell what they saw.
pytest.register_assert_rewrite("semroute.testing")

from semroute.stores.embedded import EmbeddedStore  # noqa: E402
from semroute.stores.redis import RedisStore  # noqa: E402
from semroute.testing.entries import NOW  # noqa: E402
from semroute.testing.redis_stack import RedisNode, redis_stack  # noqa: E402

from .fleets import AsyncFace, Cluster, Face, SyncFace  # noqa: E402
from .limits import TickingClock  # noqa: E402

InChild: TypeAlias = Callable[[Callable[[], None]], None]


def run_in_child(work: Callable[[], None]) -> None:
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        # Newer Pythons warn of a fork beside threads, which is what some of these tests are about.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            work()
            os.write(write_end, b"ok")
        except BaseException:  # whatever it is, the parent is to hear of it
            os.write(write_end, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    assert said == "ok", said


@pytest.fixture
def in_child() -> InChild:
    """Run a check in a forked child, so that what it does to its process ends with it; its failure is the test's."""
    return run_in_child


@pytest.fixture(scope="session")
def redis_node() -> Iterator[RedisNode]:
    """A server that all tests of this process share, each in shards of its own; none may stop it or change it."""
    with redis_stack() as (node,):
        yield node


@pytest.fixture
def raw(redis_node: RedisNode) -> Iterator[redis.Redis]:
    """A plain client of the server that all tests of this process share."""
    with redis.Redis(port=redis_node.port) as client:
        yield client


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Find ports of the loopback interface that nobody listens on."""

    def find() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            return port

    return find


@pytest.fixture
def own_node() -> Iterator[RedisNode]:
    """A server of this test's own, to be treated badly."""
    with redis_stack() as (node,):
        yield node


@pytest.fixture(scope="session")
def new_shard() -> Callable[[], str]:
    """Return names of shards that nobody has used."""
    numbers = count()
    return lambda: f"test-{next(numbers)}"


@pytest.fixture
def make_store(redis_node: RedisNode, new_shard: Callable[[], str]) -> Iterator[Callable[..., RedisStore]]:
    """Make handles on one shard of this test's own, which is empty at first."""
    made: list[RedisStore] = []
    shard = new_shard()

    def make(**options: Any) -> RedisStore:
        # A busy machine must not decide what a test says.
        settings = {"shard": shard, "clock": lambda: NOW, "timeout_s": 20.0, "connect_timeout_s": 20.0, **options}
        made.append(RedisStore(redis_node.url, **settings))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def make_embedded(tmp_path: Path) -> Iterator[Callable[..., EmbeddedStore]]:
    """Make stores on one file of this test's own, each with a clock that ticks."""
    made: list[EmbeddedStore] = []

    def make(**options: Any) -> EmbeddedStore:
        made.append(EmbeddedStore(tmp_path / "answers.db", **{"clock": TickingClock(), **options}))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Three servers of a fleet in memory, which can be killed and come back."""
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture(params=[SyncFace, AsyncFace], ids=["sync", "async"])
def face(request: pytest.FixtureRequest) -> Face:
    """Either face of a store: what a test says of one holds for the other."""
    made: Face = request.param()
    return made
