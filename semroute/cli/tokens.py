"""Token counts: tiktoken's where its tables lie on this machine, else an estimate. Never over the network."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ENCODING = "o200k_base"
_TABLE_URL = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
_TABLE_SHA256 = "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"
_CHARACTERS_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class TokenCounter:
    """Counts the tokens of a text."""

    count: Callable[[str], int]
    is_estimate: bool


def token_counter() -> TokenCounter:
    """Return tiktoken's own count where that needs no download, else a count of characters by four."""
    folder = _table_folder() if find_spec("tiktoken") is not None else None
    if folder is None:
        return TokenCounter(_estimate, is_estimate=True)
    import tiktoken

    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    try:
        encoding = tiktoken.get_encoding(ENCODING)
    finally:
        if before is None:
            del os.environ["TIKTOKEN_CACHE_DIR"]
        else:
            os.environ["TIKTOKEN_CACHE_DIR"] = before
    return TokenCounter(lambda text: len(encoding.encode_ordinary(text)), is_estimate=False)


def _estimate(text: str) -> int:
    return -(-len(text) // _CHARACTERS_A_TOKEN)


def _table_folder() -> Path | None:
    """Return the folder that holds the whole table, as tiktoken would look for it."""
    name = hashlib.sha1(_TABLE_URL.encode(), usedforsecurity=False).hexdigest()
    for folder in _candidate_folders():
        table = folder / name
        # tiktoken drops a damaged table and fetches it anew: one that it would not take is none.
        if table.is_file() and hashlib.sha256(table.read_bytes()).hexdigest() == _TABLE_SHA256:
            return folder
    return None


def _candidate_folders() -> Iterator[Path]:
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        named = os.environ.get(variable)
        if named:
            yield Path(named)
    yield Path(tempfile.gettempdir()) / "data-gym-cache"
    llama_index = find_spec("llama_index")
    for place in (
        []
        if llama_index is None or llama_index.submodule_search_locations is None
        else (llama_index.submodule_search_locations)
    ):
        yield Path(place) / "core" / "_static" / "tiktoken_cache"
