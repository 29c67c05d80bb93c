"""Store URLs of Redis: what may stand in them, and what is said of what may not."""

from __future__ import annotations

import pytest

from semroute.errors import ConfigError
from semroute.stores._redis.location import RedisLocation, parse_redis_url
from semroute.stores.redis import RedisStore
from semroute.stores.urls import open_store


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("redis://localhost", RedisLocation((("localhost", 6379),))),
        ("redis://localhost/0", RedisLocation((("localhost", 6379),))),
        ("redis://[::1]:7000", RedisLocation((("::1", 7000),))),
        ("redis://:p%40ss@h:1?shard=s03", RedisLocation((("h", 1),), password="p@ss", shard="s03")),
        ("rediss://ann:secret@h", RedisLocation((("h", 6379),), is_tls=True, username="ann", password="secret")),
        (
            "rediss://h?ssl_ca_certs=/ca.pem&ssl_cert_reqs=none",
            RedisLocation((("h", 6379),), is_tls=True, tls=(("ssl_cert_reqs", "none"), ("ssl_ca_certs", "/ca.pem"))),
        ),
        (
            "redis+sentinel://ann:secret@a,b:7/mymaster?sentinel_password=other",
            RedisLocation(
                (("a", 26379), ("b", 7)),
                username="ann",
                password="secret",
                service="mymaster",
                sentinel_password="other",
            ),
        ),
    ],
)
def test_urls_are_read(url: str, location: RedisLocation) -> None:
    assert parse_redis_url(url) == location


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis:/localhost", "begins with redis://"),
        ("redis//localhost", "begins with redis://"),
        ("localhost:6379", "begins with redis://"),
        ("redis://", "no host"),
        ("redis://:6379", "no host"),
        ("redis://local host", "no host"),
        ("redis://localhost:", "port ''"),
        ("redis://localhost:63z9", "port '63z9'"),
        ("redis://localhost:99999", "port '99999'"),
        ("redis://localhost:6379:6379", "no host|port"),
        ("redis://[::1", "cannot be read|no host"),
        ("redis://localhost/1", "database '1'"),
        ("redis://localhost/cache", "database 'cache'"),
        ("redis://localhost?sharb=s01", "did you mean shard"),
        ("redis://localhost?socket_timeout=1", "unknown setting 'socket_timeout'"),
        ("redis://localhost?shard=a b", "no name of a shard"),
        ("redis://localhost?shard={x}", "no name of a shard"),
        ("redis://localhost?shard=", "no name of a shard"),
        ("redis://localhost?ssl_ca_certs=/ca.pem", "without TLS"),
        ("rediss://localhost?ssl_cert_reqs=perhaps", "must be one of"),
        ("redis://user:pa#ss@localhost", "%23"),
        ("redis://a:1,b:2", "names one server"),
        ("redis+sentinel://a:1,b:2", "names no service"),
        ("redis+sentinel://a:1/mymaster/3", "database '3'"),
    ],
)
def test_a_slip_in_a_url_is_named(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        RedisStore(url)


@pytest.mark.parametrize("url", ["redis:/u:hush@h", "redis://u:hush@h/9", "redis://u:hush@h:x", "redis://u:hush@h?a=b"])
def test_no_message_shows_a_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_redis_url(url)
    assert "hush" not in str(caught.value)


def test_a_location_shows_neither_user_nor_password() -> None:
    location = parse_redis_url("redis+sentinel://ann:secret@a:1,b:2/mymaster?sentinel_password=other")
    assert str(location) == "redis+sentinel://a:1,b:2/mymaster"
    assert not {"secret", "other"} & set(repr(location).split("'"))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("shard", "{s00}"),
        ("max_entries", 0),
        ("max_bytes", 0),
        ("dtype", "float64"),
        ("hnsw_from", -1),
        ("pool_size", 0),
        ("pool_wait_s", 0),
        ("connect_timeout_s", 0),
        ("timeout_s", float("nan")),
        ("digest_key", b"short"),
    ],
)
def test_a_value_out_of_range_is_named(setting: str, value: object) -> None:
    with pytest.raises(ConfigError, match=setting):
        RedisStore("redis://localhost", **{setting: value})


@pytest.mark.parametrize("url", ["redis://h", "rediss://h", "redis+sentinel://h/mymaster"])
def test_the_scheme_of_a_url_picks_the_store(url: str) -> None:
    store = open_store(url, max_entries=10, max_bytes=1000, clock=lambda: 0.0)
    assert isinstance(store, RedisStore)
    store.close()
