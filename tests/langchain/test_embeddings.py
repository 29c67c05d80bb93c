from __future__ import annotations

import numpy as np
import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_semroute.embeddings import LangChainEmbedder

from semroute.embedders import Embedder
from semroute.errors import ConfigError, EmbedderError
from semroute.testing.embedder_suite import EmbedderSuite


class _Named(Embeddings):
    """Embeddings that say which model they use, and answer with what they are told to."""

    def __init__(self, model: str, answer: list[float] | Exception, dimensions: int | None = None) -> None:
        self.model = model
        self.dimensions = dimensions
        self._answer = answer

    def embed_query(self, text: str) -> list[float]:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.embed_query(text) for text in texts]


class TestLangChainEmbedder(EmbedderSuite):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return LangChainEmbedder(DeterministicFakeEmbedding(size=64), identity="fake-64")

    @pytest.fixture
    def other_embedder(self) -> Embedder:
        return LangChainEmbedder(DeterministicFakeEmbedding(size=32), identity="fake-32")


def test_rows_are_brought_to_length_1() -> None:
    embedder = LangChainEmbedder(_Named("model", [3.0, 4.0]))
    np.testing.assert_allclose(embedder.embed(["text"]), [[0.6, 0.8]])


def test_its_identity_follows_class_model_and_dimensions() -> None:
    def identity(model: str, dimensions: int | None = None) -> str:
        return LangChainEmbedder(_Named(model, [1.0], dimensions)).identity

    assert identity("small") == identity("small")
    assert len({identity("small"), identity("large"), identity("small", 256)}) == 3
    assert identity("small").startswith("langchain-small-")


def test_embeddings_that_do_not_name_their_model_need_an_identity() -> None:
    with pytest.raises(ConfigError, match=r"DeterministicFakeEmbedding does not say which model.*identity="):
        LangChainEmbedder(DeterministicFakeEmbedding(size=8))


def test_an_error_of_the_provider_becomes_an_embedder_error_with_its_cause() -> None:
    cause = ConnectionError("refused")
    with pytest.raises(EmbedderError, match="failed: ConnectionError: refused") as raised:
        LangChainEmbedder(_Named("model", cause)).embed(["text"])
    assert raised.value.__cause__ is cause


@pytest.mark.parametrize("answer", [[0.0, 0.0], [float("nan"), 1.0], [float("inf"), 1.0]])
def test_a_vector_without_a_direction_is_an_embedder_error(answer: list[float]) -> None:
    with pytest.raises(EmbedderError, match="zero or not finite"):
        LangChainEmbedder(_Named("model", answer)).embed(["text"])


def test_a_text_over_the_limit_does_not_fit() -> None:
    embedder = LangChainEmbedder(_Named("model", [1.0]), max_characters=4)
    assert embedder.fits("four")
    assert not embedder.fits("fiver")
    with pytest.raises(ConfigError, match="max_characters=0"):
        LangChainEmbedder(_Named("model", [1.0]), max_characters=0)
