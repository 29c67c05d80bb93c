from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from semroute.embedders import Embedder
from semroute.embedders.onnx import OnnxEmbedder
from semroute.errors import ConfigError, EmbedderError
from semroute.testing.embedder_suite import TEXTS, EmbedderSuite


class TestOnnxEmbedderAtInt8(EmbedderSuite):
    @pytest.fixture
    def embedder(self, onnx_embedder: OnnxEmbedder) -> Embedder:
        return onnx_embedder

    @pytest.fixture
    def other_embedder(self, float32_embedder: OnnxEmbedder) -> Embedder:
        return float32_embedder


class TestOnnxEmbedderAtFloat32(EmbedderSuite):
    @pytest.fixture
    def embedder(self, float32_embedder: OnnxEmbedder) -> Embedder:
        return float32_embedder


def test_importing_it_loads_neither_numpy_nor_the_runtime() -> None:
    code = "import sys, semroute.embedders.onnx; print({'numpy', 'onnxruntime', 'tokenizers'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"


def test_constructing_it_touches_no_file(tmp_path: Path) -> None:
    embedder = OnnxEmbedder(cache_dir=tmp_path / "cache", model_dir=tmp_path / "absent")
    assert not list(tmp_path.iterdir())
    assert repr(embedder) == "<OnnxEmbedder int8, not loaded>"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"precision": "int4"}, "precision='int4'.*float32, int8"), ({"workers": 0}, "workers=0.*1 or more")],
)
def test_wrong_arguments_are_named_with_their_value_and_range(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OnnxEmbedder(**arguments)  # type: ignore[arg-type]  # wrong on purpose


def test_int8_stays_within_a_hair_of_float32(onnx_embedder: OnnxEmbedder, float32_embedder: OnnxEmbedder) -> None:
    assert (float32_embedder.embed(TEXTS) * onnx_embedder.embed(TEXTS)).sum(axis=1).min() > 0.995


def test_near_questions_are_nearer_than_far_ones(onnx_embedder: OnnxEmbedder) -> None:
    asked, paraphrase, other = onnx_embedder.embed(
        ["How can I reset my password?", "What is the way to reset a password?", "When does the museum open?"]
    )
    assert asked @ paraphrase > 0.8
    assert asked @ other < 0.3


def test_a_text_over_the_limit_does_not_fit_and_is_never_cut_short(onnx_embedder: OnnxEmbedder) -> None:
    within, over = "word " * 254, "word " * 255
    assert onnx_embedder.max_tokens == 256
    assert onnx_embedder.fits(within)
    assert onnx_embedder.embed([within]).shape == (1, 384)
    assert not onnx_embedder.fits(over)
    with pytest.raises(EmbedderError, match="over the limit of 256 tokens"):
        onnx_embedder.embed(["short", over])


def test_a_length_is_that_of_the_tokens_and_none_for_what_is_not_embedded(onnx_embedder: OnnxEmbedder) -> None:
    assert onnx_embedder.length("a cat sat") == onnx_embedder.length("the dog ran") == 5
    assert onnx_embedder.length("cat " * 300) == -1


def test_a_text_of_a_megabyte_is_refused_without_being_tokenised(
    onnx_embedder: OnnxEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_text: str) -> list[int]:
        raise AssertionError("tokenised")

    monkeypatch.setattr(onnx_embedder._load(), "tokenize", refuse)
    for text in ("a" * 1_000_000, "ein Satz mehr. " * 70_000):
        assert not onnx_embedder.fits(text)
        with pytest.raises(EmbedderError, match="over the limit"):
            onnx_embedder.embed([text])


@pytest.mark.parametrize("text", ["What does 🙂 mean?", "half a pair \udc00"], ids=ascii)
def test_a_text_that_the_vocabulary_cannot_tell_from_others_does_not_fit(
    onnx_embedder: OnnxEmbedder, text: str
) -> None:
    assert not onnx_embedder.fits(text)


def test_threads_that_start_at_once_load_the_model_once(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = OnnxEmbedder(use_hub=False)
    opened = []
    original = embedder._open
    monkeypatch.setattr(embedder, "_open", lambda: opened.append(1) or original())
    barrier = threading.Barrier(4)

    def use() -> None:
        barrier.wait()
        embedder.embed(["hello"])

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == [1]


def test_it_shows_its_state_and_loads_again_after_close(onnx_embedder: OnnxEmbedder) -> None:
    embedder = OnnxEmbedder(use_hub=False)
    embedder.preload()
    assert "loaded from" in repr(embedder)
    embedder.close()
    assert "not loaded" in repr(embedder)
    np.testing.assert_array_equal(embedder.embed(["hello"]), onnx_embedder.embed(["hello"]))


@pytest.mark.parametrize("action", ["embed", "close"])
def test_a_forked_child_embeds_with_a_session_of_its_own_even_if_the_lock_was_held(action: str) -> None:
    code = (
        "import os, sys\n"
        "from semroute.embedders.onnx import OnnxEmbedder\n"
        "embedder = OnnxEmbedder(use_hub=False)\n"
        "before = embedder.embed(['hello'])\n"
        "session = embedder._session\n"
        "embedder._lock.acquire()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    if 'close' in sys.argv: embedder.close()\n"
        "    same = (embedder.embed(['hello']) == before).all()\n"
        "    os._exit(0 if same and embedder._session is not session else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    assert subprocess.run([sys.executable, "-c", code, action], timeout=60, check=False).returncode == 0
