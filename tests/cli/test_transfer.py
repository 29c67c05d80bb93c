"""`semroute export` and `semroute import`: from one store into many shards, and back."""

from __future__ import annotations

import gzip
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from semroute import Hit, SemanticCache, scope
from semroute.cli.main import app
from semroute.testing.embedders import HashEmbedder

SYSTEMS = [f"You are assistant number {number}." for number in range(20)]


def shell(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def answer(*arguments: str, status: int = 0) -> Any:
    result = shell(*arguments, "--json")
    assert result.exit_code == status, result.output
    return json.loads(result.stdout)


@pytest.fixture
def stores(tmp_path: Path) -> Callable[[str], list[str]]:
    """Return the options that name some files."""
    return lambda names: [part for name in names for part in ("--store", str(tmp_path / f"{name}.db"))]


@pytest.fixture
def cache(tmp_path: Path) -> Callable[[str], SemanticCache]:
    return lambda names: SemanticCache(
        *(tmp_path / f"{name}.db" for name in names), embedder=HashEmbedder(), write="now"
    )


def fill(cache: SemanticCache) -> None:
    with cache, scope(tenant="acme", tags=["faq"]):
        for system in SYSTEMS:
            cache.update(cache.request("Which ports?", system=system), f"those of {system} \ud800☂")


def hits(cache: SemanticCache) -> int:
    with cache, scope(tenant="acme"):
        results = [cache.lookup(cache.request("Which ports?", system=system)) for system in SYSTEMS]
    assert all(result.answer.text.startswith("those of") for result in results if isinstance(result, Hit))
    return sum(isinstance(result, Hit) for result in results)


@pytest.mark.parametrize(("source", "target"), [("a", "bcd"), ("abc", "d"), ("abc", "de"), ("a", "b")])
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_every_answer_is_a_hit_in_the_new_store(source, target, suffix, cache, stores, tmp_path: Path) -> None:
    fill(cache(source))
    file = str(tmp_path / f"all{suffix}")
    assert answer("export", file, *stores(source)) == {"exported": len(SYSTEMS), "file": file}
    counts = answer("import", file, *stores(target))
    assert counts == {"imported": len(SYSTEMS), "already": 0, "invalidated": 0, "expired": 0}
    assert hits(cache(target)) == len(SYSTEMS)
    assert answer("import", file, *stores(target))["already"] == len(SYSTEMS)
    assert answer("invalidate", "--tenant", "acme", "--tag", "faq", *stores(target)) == {"removed": len(SYSTEMS)}


def test_what_was_invalidated_since_is_not_brought_back(cache, stores, tmp_path: Path) -> None:
    fill(cache("abc"))
    file = str(tmp_path / "all.jsonl")
    answer("export", file, *stores("abc"))
    answer("invalidate", "--tag", "faq", *stores("abc"))
    assert answer("import", file, *stores("abc"))["invalidated"] == len(SYSTEMS)
    assert hits(cache("abc")) == 0


def test_the_file_is_for_its_owner_only(cache, stores, tmp_path: Path) -> None:
    fill(cache("a"))
    file = tmp_path / "all.jsonl"
    answer("export", str(file), *stores("a"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path for path in tmp_path.iterdir() if "all" in path.name) == [file]


def test_folders_on_the_way_to_the_file_are_made(cache, stores, tmp_path: Path) -> None:
    fill(cache("a"))
    file = tmp_path / "new" / "folder" / "all.jsonl.gz"
    answer("export", str(file), *stores("a"))
    assert answer("import", str(file), *stores("b"))["imported"] > 0


def test_a_place_where_nothing_can_be_written_is_a_wrong_call(cache, stores, tmp_path: Path) -> None:
    fill(cache("a"))
    (tmp_path / "file").touch()
    for place, message in ((tmp_path, "is a folder"), (tmp_path / "file" / "x.jsonl", "needs a folder there")):
        result = shell("export", str(place), *stores("a"))
        assert result.exit_code == 2
        assert message in result.stderr


def test_a_store_with_a_key_of_its_own_is_refused(cache, stores, tmp_path: Path) -> None:
    fill(cache("a"))
    fill(cache("b"))
    file = str(tmp_path / "all.jsonl")
    answer("export", file, *stores("a"))
    result = shell("import", file, *stores("b"))
    assert result.exit_code == 1
    assert "another digest key" in result.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("hello\n", "line 1"),
        ("{}\n", "is no export of semroute"),
        ('{"format": "semroute-entries", "v": 9}\n', "format version 9"),
        ('{"format": "semroute-entries", "v": 1, "digest_key": "00", "epoch": 1}\n', "digest key has 1 bytes"),
        ('{"format": "semroute-entries", "v": 1, "digest_key": "' + "0" * 64 + '", "epoch": 1}\n[]\n', "line 2"),
        ('{"format": "semroute-entries", "v": 1, "digest_key": "' + "0" * 64 + '", "epoch": 1}\n{}\n', "damaged entry"),
    ],
)
def test_a_file_that_is_no_export_is_a_wrong_call(text: str, message: str, stores, tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    file.write_text(text, encoding="utf-8")
    result = shell("import", str(file), *stores("a"))
    assert result.exit_code == 2
    assert message in result.output


def test_a_compressed_file_that_was_cut_short_is_told(cache, stores, tmp_path: Path) -> None:
    fill(cache("a"))
    file = tmp_path / "all.jsonl.gz"
    answer("export", str(file), *stores("a"))
    assert gzip.decompress(file.read_bytes())
    file.write_bytes(file.read_bytes()[:-40])
    assert shell("import", str(file), *stores("b")).exit_code == 2


def test_a_file_that_is_not_there_is_a_wrong_call(stores, tmp_path: Path) -> None:
    assert shell("import", str(tmp_path / "none.jsonl"), *stores("a")).exit_code == 2
