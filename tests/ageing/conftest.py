from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from semroute.ageing import Ageing
from semroute.stores.embedded import EmbeddedStore
from semroute.testing.clock import FakeClock

from .parts import Model


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock) -> Iterator[EmbeddedStore]:
    store = EmbeddedStore(tmp_path / "answers.db", clock=clock)
    yield store
    store.close()


@pytest.fixture
def make_ageing(clock: FakeClock) -> Iterator[Callable[..., Ageing]]:
    made: list[Ageing] = []

    def make(model: object, **parts: object) -> Ageing:
        made.append(Ageing(model, **{"clock": clock, "breaker_clock": clock, **parts}))  # type: ignore[arg-type]  # stand-ins
        return made[-1]

    yield make
    for ageing in made:
        ageing.close()
