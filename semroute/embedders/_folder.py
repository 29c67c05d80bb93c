"""A model folder: graph, tokenizer and a manifest with their checksums, written at once and verified on opening."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from semroute.embedders._export import Encoder, Precision
from semroute.errors import EmbedderError

Pooling: TypeAlias = Literal["graph", "mean", "cls"]

MANIFEST_VERSION = 1
GRAPH_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
MANIFEST_FILE = "manifest.json"
STAMPS_FILE = "verified.json"


@dataclass(frozen=True, slots=True)
class Model:
    """A verified model folder."""

    folder: Path
    pooling: Pooling
    """Where the token vectors become one: in the graph itself, or after it."""
    max_tokens: int
    dimensions: int
    identity: str

    @property
    def graph(self) -> Path:
        return self.folder / GRAPH_FILE

    @property
    def tokenizer(self) -> Path:
        return self.folder / TOKENIZER_FILE


def is_model_folder(folder: Path) -> bool:
    return (folder / MANIFEST_FILE).is_file()


def open_model(folder: Path) -> Model:
    """Read the manifest and verify both files against it; EmbedderError when anything differs."""
    path = folder / MANIFEST_FILE
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["version"] != MANIFEST_VERSION:
            raise EmbedderError(f"{path} has version {manifest['version']}, and this release reads {MANIFEST_VERSION}")
        checksums = {name: str(manifest["sha256"][name]) for name in (GRAPH_FILE, TOKENIZER_FILE)}
        model = Model(
            folder=folder,
            pooling=manifest["pooling"],
            max_tokens=int(manifest["max_tokens"]),
            dimensions=int(manifest["dimensions"]),
            identity=_identity(manifest["precision"], manifest["pooling"], int(manifest["max_tokens"]), checksums),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EmbedderError(f"{path} is damaged ({error!r}): {_remedy(folder)}") from error
    _verify(folder, checksums)
    return model


def publish_model(
    folder: Path, graph: bytes, tokenizer: bytes, encoder: Encoder, precision: Precision, *, pooling: Pooling
) -> Model:
    """Write a model folder in one step, so that of two processes doing it at once either's is complete."""
    contents = {GRAPH_FILE: graph, TOKENIZER_FILE: tokenizer}
    manifest = {
        "version": MANIFEST_VERSION,
        "precision": precision,
        "pooling": pooling,
        "max_tokens": encoder.max_tokens,
        "dimensions": encoder.hidden,
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    }
    contents[MANIFEST_FILE] = json.dumps(manifest, indent=2).encode()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=folder.parent, ignore_cleanup_errors=True) as parent:
            staged = Path(parent) / folder.name
            staged.mkdir()
            for name, content in contents.items():
                (staged / name).write_bytes(content)
            _move(staged, folder)
    except OSError as error:
        raise EmbedderError(
            f"the embedding model cannot be written to {folder}: {error}. Make the folder writable, or choose another "
            "with cache_dir=… or SEMROUTE_CACHE_DIR"
        ) from error
    return open_model(folder)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _move(staged: Path, folder: Path) -> None:
    if folder.is_dir() and not is_model_folder(folder):
        shutil.rmtree(folder)
    try:
        staged.rename(folder)
    except OSError:
        # Another process was quicker: its folder serves as well, provided that it is one.
        if not is_model_folder(folder):
            raise


def _verify(folder: Path, checksums: dict[str, str]) -> None:
    """Hash each file that changed since it was last hashed; hashing all of it would cost every start 0.1 s."""
    stamps = _read_stamps(folder)
    seen: dict[str, list[int | str]] = {}
    for name, wanted in checksums.items():
        try:
            stat = (folder / name).stat()
            stamp: list[int | str] = [wanted, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
            found = wanted if stamps.get(name) == stamp else sha256_of(folder / name)
        except OSError as error:
            raise EmbedderError(f"{folder / name} cannot be read ({error}): {_remedy(folder)}") from error
        if found != wanted:
            raise EmbedderError(
                f"{folder / name} has the SHA-256 checksum {found}, and its manifest says {wanted}: {_remedy(folder)}"
            )
        seen[name] = stamp
    if seen != stamps:
        _write_stamps(folder, seen)


def _read_stamps(folder: Path) -> dict[str, object]:
    try:
        stamps = json.loads((folder / STAMPS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamps if isinstance(stamps, dict) else {}


def _write_stamps(folder: Path, stamps: dict[str, list[int | str]]) -> None:
    # A folder that cannot be written (an image layer, say) only costs the hashing at each start.
    with contextlib.suppress(OSError):
        descriptor, name = tempfile.mkstemp(prefix=".verified-", dir=folder)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(stamps, file)
        Path(name).replace(folder / STAMPS_FILE)


def _identity(precision: str, pooling: str, max_tokens: int, checksums: dict[str, str]) -> str:
    parts = json.dumps([precision, pooling, max_tokens, checksums], sort_keys=True)
    return f"onnx-{precision}-{hashlib.blake2b(parts.encode(), digest_size=16).hexdigest()}"


def _remedy(folder: Path) -> str:
    return f"the model is damaged; remove the folder {folder} and it is made anew, or restore it"
