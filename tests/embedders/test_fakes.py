from __future__ import annotations

import pytest

from semroute.embedders import Embedder
from semroute.errors import EmbedderError
from semroute.testing.embedder_suite import EmbedderSuite
from semroute.testing.embedders import FailingEmbedder, HashEmbedder, SlowEmbedder


class TestHashEmbedder(EmbedderSuite):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return HashEmbedder()

    @pytest.fixture
    def other_embedder(self) -> Embedder:
        return HashEmbedder(seed=1)


class TestSlowEmbedder(EmbedderSuite):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return SlowEmbedder(1, sleep=lambda _delay_s: None)


def test_the_hash_embedder_knows_common_words_and_ignores_case() -> None:
    one, same, near, far = HashEmbedder().embed(["open the gate", "Open the gate!", "shut the gate", "quite other"])
    assert one @ same == pytest.approx(1)
    assert one @ near > one @ far


def test_the_hash_embedder_has_a_limit_in_words() -> None:
    assert not HashEmbedder(max_words=2).fits("one two three")


def test_the_failing_embedder_fails_until_it_is_healed() -> None:
    embedder = FailingEmbedder(message="no memory left")
    with pytest.raises(EmbedderError, match="no memory left"):
        embedder.embed(["text"])
    embedder.heal()
    assert embedder.embed(["text"]).shape == (1, 64)
    assert embedder.calls == 2


def test_the_slow_embedder_waits_as_long_as_it_is_told() -> None:
    waits: list[float] = []
    SlowEmbedder(0.25, sleep=waits.append).embed(["text"])
    assert waits == [0.25]
