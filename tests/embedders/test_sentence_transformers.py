from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from semroute.embedders import Embedder
from semroute.embedders.onnx import OnnxEmbedder
from semroute.embedders.sentence_transformers import SentenceTransformerEmbedder
from semroute.errors import EmbedderError, MissingExtra
from semroute.testing.embedder_suite import TEXTS, EmbedderSuite


@pytest.fixture(scope="module")
def torch_embedder(packaged_weights: Path) -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder(packaged_weights, device="cpu")


class TestSentenceTransformerEmbedder(EmbedderSuite):
    @pytest.fixture
    def embedder(self, torch_embedder: SentenceTransformerEmbedder) -> Embedder:
        return torch_embedder

    @pytest.fixture
    def other_embedder(self, onnx_embedder: OnnxEmbedder) -> Embedder:
        return onnx_embedder


def test_float32_on_onnx_gives_the_vectors_of_the_reference(
    torch_embedder: SentenceTransformerEmbedder, float32_embedder: OnnxEmbedder
) -> None:
    np.testing.assert_allclose(float32_embedder.embed(TEXTS), torch_embedder.embed(TEXTS), atol=2e-6)


def test_a_text_over_the_limit_does_not_fit_and_is_never_cut_short(
    torch_embedder: SentenceTransformerEmbedder,
) -> None:
    for text in ("word " * 255, "word " * 100_000):
        assert not torch_embedder.fits(text)
        with pytest.raises(EmbedderError, match="over the limit of 256 tokens"):
            torch_embedder.embed([text])


def test_a_folder_without_a_model_is_an_embedder_error(tmp_path: Path) -> None:
    with pytest.raises(EmbedderError, match="cannot be loaded"):
        SentenceTransformerEmbedder(tmp_path).preload()


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtra, match="pip install"):
        SentenceTransformerEmbedder("any").embed(["text"])
