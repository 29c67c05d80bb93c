"""Token counts never need the network."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from semroute.cli import tokens
from semroute.cli.tokens import token_counter


@pytest.fixture(autouse=True)
def no_tables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tokens, "_candidate_folders", lambda: iter([tmp_path]))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_without_tables_the_count_is_a_marked_estimate() -> None:
    counter = token_counter()
    assert counter.is_estimate
    assert counter.count("") == 0
    assert counter.count("abcd") == 1
    assert counter.count("abcde") == 2


def test_a_damaged_table_is_not_handed_to_tiktoken_which_would_fetch_it_anew(tmp_path: Path) -> None:
    (tmp_path / "fb374d419588a4632f3f557e76b4b70aebbca790").write_bytes(b"damaged")
    assert token_counter().is_estimate
    assert (tmp_path / "fb374d419588a4632f3f557e76b4b70aebbca790").exists()


def test_a_table_that_lies_there_is_used_and_the_environment_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "fb374d419588a4632f3f557e76b4b70aebbca790"
    table.write_bytes(b"a whole table")
    monkeypatch.setattr(tokens, "_TABLE_SHA256", hashlib.sha256(b"a whole table").hexdigest())
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "elsewhere")
    asked: list[tuple[str, str]] = []

    def get_encoding(name: str) -> SimpleNamespace:
        asked.append((name, os.environ["TIKTOKEN_CACHE_DIR"]))
        return SimpleNamespace(encode_ordinary=str.split)

    monkeypatch.setitem(sys.modules, "tiktoken", SimpleNamespace(get_encoding=get_encoding))
    monkeypatch.setattr(tokens, "find_spec", lambda name: name)
    counter = token_counter()
    assert not counter.is_estimate
    assert counter.count("three little words") == 3
    assert asked == [("o200k_base", str(tmp_path))]
    assert os.environ["TIKTOKEN_CACHE_DIR"] == "elsewhere"
