"""What a Redis store says of a server that is closed to it, or is not what it should be."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Any

import pytest
import redis

from semroute.errors import ConfigError, StoreError
from semroute.stores.redis import RedisStore
from semroute.testing.entries import make_entry
from semroute.testing.redis_stack import RedisNode, redis_stack
from semroute.testing.store_suite import get, queries, search

from .redis_shards import PATIENT


def test_a_wrong_password_says_so_and_never_shows_it() -> None:
    with redis_stack(1, "--requirepass", "right-secret") as (node,):
        for sign_in in ("", "user:wrong-secret@", ":wrong-secret@"):
            with (
                closing(RedisStore(f"redis://{sign_in}127.0.0.1:{node.port}", **PATIENT)) as store,
                pytest.raises(ConfigError, match="user or password") as caught,
            ):
                store.open()
            assert "secret" not in str(caught.value) + repr(store)
        with closing(RedisStore(f"redis://:right-secret@127.0.0.1:{node.port}", **PATIENT)) as store:
            assert len(store.open()) == 32
            assert len(asyncio.run(store.aopen())) == 32
            assert "right-secret" not in repr(store)


def test_a_user_of_an_access_list_needs_only_the_stores_keys(redis_node: RedisNode, raw: redis.Redis) -> None:
    search_commands = [f"+ft.{name}" for name in ("_list", "create", "search", "info", "dropindex")]
    may = ["~semroute:*", "+@read", "+@write", "+@scripting", *search_commands]
    raw.execute_command("ACL", "SETUSER", "ann", "on", ">pass word", "resetkeys", *may)
    raw.execute_command("ACL", "SETUSER", "bob", "on", ">secret", "~other:*", "+@read")
    ann = f"redis://ann:pass%20word@127.0.0.1:{redis_node.port}?shard=acl"
    with closing(RedisStore(ann, **PATIENT)) as store:
        assert store.put(make_entry("q")) is True
        assert queries(search(store)) == ["q"]
    with (
        closing(RedisStore(f"redis://bob:secret@127.0.0.1:{redis_node.port}", **PATIENT)) as store,
        pytest.raises(ConfigError, match=r"\+ft\.search"),
    ):
        store.open()


def test_a_plain_redis_without_search_says_what_is_needed_and_is_left_as_it_was() -> None:
    with redis_stack(1, has_search=False) as (node,), redis.Redis(port=node.port) as client:
        with (
            closing(RedisStore(node.url, **PATIENT)) as store,
            pytest.raises(ConfigError, match=r"no search module.*redis:8"),
        ):
            store.open()
        assert client.keys() == []


def test_a_read_only_replica_serves_and_says_that_it_stores_nothing(own_node: RedisNode) -> None:
    client = redis.Redis(port=own_node.port)
    client.config_set("repl-diskless-sync-delay", 0)
    with (
        client,
        redis_stack(1, "--replicaof", "127.0.0.1", str(own_node.port)) as (replica,),
        closing(RedisStore(own_node.url, **PATIENT)) as store,
        closing(RedisStore(replica.url, **PATIENT)) as reader,
    ):
        store.put(make_entry("q"))
        client.set("after", "it")  # on this connection: what is waited for is the client's own last write
        while client.wait(1, 100) < 1:  # the server waits, and says how many replicas have it
            pass
        assert get(reader, "q").entry is not None
        with pytest.raises(StoreError, match="read-only replica"):
            reader.put(make_entry("p"))


def test_a_server_that_is_no_redis_is_told_from_one_that_is_down(tmp_path: Any) -> None:
    import http.server
    import threading

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with (
                closing(RedisStore(f"redis://127.0.0.1:{server.server_port}", timeout_s=5.0)) as store,
                pytest.raises((ConfigError, StoreError), match=r"Redis protocol|cannot be reached"),
            ):
                store.open()
        finally:
            server.shutdown()
            thread.join()
    with (
        closing(RedisStore(f"redis://127.0.0.1:{server.server_port}", timeout_s=5.0)) as store,
        pytest.raises(StoreError, match="cannot be reached"),
    ):
        store.open()


def test_a_host_that_nobody_knows_is_named() -> None:
    with (
        closing(RedisStore("redis://no-such-host.invalid:6379", connect_timeout_s=5.0)) as store,
        pytest.raises(StoreError, match=r"no-such-host\.invalid"),
    ):
        store.open()
