"""How a Redis store reaches its server: by TLS, by Sentinel, and again after a connection was lost."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import trustme

from semroute.errors import StoreError
from semroute.stores.redis import RedisStore
from semroute.testing._redis_program import find_program
from semroute.testing.entries import NOW, make_address, make_entry
from semroute.testing.redis_stack import RedisNode, redis_stack
from semroute.testing.store_suite import get, queries, search

PATIENT: dict[str, Any] = {"clock": lambda: NOW, "timeout_s": 20.0, "connect_timeout_s": 20.0}
SENTINEL = """
bind 127.0.0.1
port {port}
sentinel monitor mymaster 127.0.0.1 {master} 1
sentinel down-after-milliseconds mymaster 200
sentinel failover-timeout mymaster 2000
"""


@contextmanager
def sentinel_of(master: RedisNode, port: int, folder: Path) -> Iterator[redis.Redis]:
    """Run a sentinel that watches a master, and yield a client of it."""
    program, settings = find_program(), folder / "sentinel.conf"
    settings.write_text(SENTINEL.format(port=port, master=master.port))
    command = [str(program.server), str(settings), "--sentinel"]
    process = subprocess.Popen(command, env=program.environment, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port, retry=redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 200)) as client:
            client.ping()
            yield client
    finally:
        process.kill()
        process.wait()


def test_tls_is_spoken_where_the_url_says_so_and_certificates_are_checked(
    free_port: Callable[[], int], tmp_path: Path
) -> None:
    port = free_port()
    authority, certificate, trusted = trustme.CA(), tmp_path / "server.pem", tmp_path / "trusted.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    authority.cert_pem.write_to_path(str(trusted))
    files = [
        "--tls-cert-file",
        str(certificate),
        "--tls-key-file",
        str(certificate),
        "--tls-ca-cert-file",
        str(trusted),
    ]
    with redis_stack(1, "--tls-port", str(port), "--tls-auth-clients", "no", *files):
        with closing(RedisStore(f"rediss://127.0.0.1:{port}?ssl_ca_certs={trusted}", **PATIENT)) as store:
            assert store.put(make_entry("q")) is True
            assert queries(search(store)) == ["q"]
            assert asyncio.run(store.aget(make_address("q"), now=NOW)).entry is not None
        with closing(RedisStore(f"rediss://127.0.0.1:{port}", **PATIENT)) as store:
            with pytest.raises(StoreError, match="ssl_ca_certs"):
                store.open()
            with pytest.raises(StoreError, match="ssl_ca_certs"):
                asyncio.run(store.aopen())


def test_a_store_follows_its_sentinel_to_the_next_master(free_port: Callable[[], int], tmp_path: Path) -> None:
    port = free_port()
    with redis_stack(2) as (master, replica), redis.Redis(port=master.port) as raw:
        raw.config_set("repl-diskless-sync-delay", 0)
        with redis.Redis(port=replica.port) as other:
            other.replicaof("127.0.0.1", master.port)
        url = f"redis+sentinel://127.0.0.1:{port}/mymaster"
        with sentinel_of(master, port, tmp_path) as sentinel, closing(RedisStore(url, **PATIENT)) as store:
            store.put(make_entry("q"))
            raw.set("after", "it")  # on this connection: what is waited for is the client's own last write
            while raw.wait(1, 100) < 1:
                pass
            events = sentinel.pubsub(ignore_subscribe_messages=True)
            events.subscribe("+switch-master")
            while not sentinel.execute_command("SENTINEL", "REPLICAS", "mymaster"):
                events.get_message(timeout=0.05)
            master.kill()
            while events.get_message(timeout=1.0) is None:
                pass
            events.close()
            assert get(store, "q").entry is not None
            assert asyncio.run(store.aput(make_entry("p", similarity=0.5))) is True
            assert queries(search(store)) == ["q", "p"]


def test_a_name_that_no_sentinel_knows_is_said(free_port: Callable[[], int], tmp_path: Path) -> None:
    port = free_port()
    with (
        redis_stack() as (master,),
        sentinel_of(master, port, tmp_path),
        closing(RedisStore(f"redis+sentinel://127.0.0.1:{port}/another", **PATIENT)) as store,
    ):
        with pytest.raises(StoreError, match="hosts and service"):
            store.open()
        with pytest.raises(StoreError, match="hosts and service"):
            asyncio.run(store.aopen())


def test_connections_that_were_lost_while_they_lay_idle_are_made_anew(own_node: RedisNode) -> None:
    with closing(RedisStore(own_node.url, **PATIENT)) as store, redis.Redis(port=own_node.port) as raw:
        store.put(make_entry("q"))
        raw.client_kill_filter(_type="normal", skipme=True)
        assert get(store, "q").entry is not None

        async def twice() -> None:
            assert (await store.aget(make_address("q"), now=NOW)).entry is not None
            raw.client_kill_filter(_type="normal", skipme=True)
            assert (await store.aget(make_address("q"), now=NOW)).entry is not None

        asyncio.run(twice())


def test_scripts_that_the_server_forgot_are_sent_again(own_node: RedisNode) -> None:
    with closing(RedisStore(own_node.url, **PATIENT)) as store, redis.Redis(port=own_node.port) as raw:
        store.put(make_entry("q"))
        raw.script_flush()
        assert get(store, "q").entry is not None
        raw.script_flush()
        assert store.put(make_entry("p")) is True
