"""Where a Redis store lives: the parts of its URL, checked, and never shown with a password."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from semroute.errors import ConfigError

PORT: Final = 6379
SENTINEL_PORT: Final = 26379
DEFAULT_SHARD: Final = "s00"

SCHEMES: Final = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
_TLS_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_CHECKS: Final = {"none": "none", "optional": "optional", "required": "required"}
_QUERY: Final = ("shard", "cluster", "sentinel_username", "sentinel_password", "ssl_cert_reqs", *_TLS_FILES)
_SHARD: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_EXAMPLES: Final = (
    "redis://HOST:6379, redis://USER:PASSWORD@HOST:6379, rediss://… for TLS,"
    " redis+sentinel://HOST:26379,HOST:26379/SERVICE, or redis+cluster://HOST:6379"
)


@dataclass(frozen=True, slots=True)
class RedisLocation:
    """A server, or the sentinels that know it, and how to sign in."""

    hosts: tuple[tuple[str, int], ...]
    is_tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    service: str | None = None
    """The name of the master that the sentinels watch; None where `hosts` is the server itself."""
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    tls: tuple[tuple[str, str], ...] = ()
    """Files and checks of TLS, by redis-py's own names."""
    shard: str = DEFAULT_SHARD
    is_cluster: bool = False
    """Whether `hosts` are nodes of a Redis Cluster, of which one that answers tells the others."""

    def __str__(self) -> str:
        kind = "+cluster" if self.is_cluster else "" if self.service is None else "+sentinel"
        scheme = ("rediss" if self.is_tls else "redis") + kind
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"{scheme}://{hosts}" + ("" if self.service is None else f"/{self.service}")


def parse_redis_url(url: str) -> RedisLocation:
    """Read a store URL; raises ConfigError that says which part of it is wrong and what may stand there.

    A shard's name may stand in it as `?shard=s03`. Search works in database 0 only, so no other may be named. A cluster
    is named by `redis+cluster://`, or as redisvl does it, by `redis://…?cluster=true`.
    """
    parts = _split(url)
    is_sentinel = parts.scheme.endswith("+sentinel")
    sign_in, _, places = parts.netloc.rpartition("@")
    username, _, password = sign_in.partition(":")
    query = _query(parts.query)
    is_cluster = parts.scheme.endswith("+cluster") or _truth("cluster", query.get("cluster", "false"))
    if is_cluster and is_sentinel:
        raise ConfigError("the Redis URL names a cluster and sentinels: a cluster looks after its masters by itself")
    return RedisLocation(
        hosts=_hosts(places, SENTINEL_PORT if is_sentinel else PORT, is_one=not (is_sentinel or is_cluster)),
        is_tls=parts.scheme.startswith("rediss"),
        username=unquote(username) if username else None,
        password=unquote(password) if password else None,
        service=_service(parts.path, is_sentinel),
        sentinel_username=query.get("sentinel_username"),
        sentinel_password=query.get("sentinel_password"),
        tls=_tls(query, is_tls=parts.scheme.startswith("rediss")),
        shard=check_shard(query.get("shard", DEFAULT_SHARD)),
        is_cluster=is_cluster,
    )


def check_shard(name: str) -> str:
    """Return a shard's name; raises ConfigError for one that could not stand in a hash tag."""
    if not _SHARD.fullmatch(name):
        raise ConfigError(f"shard={name!r} is no name of a shard: use 1 to 64 letters, digits, dots, dashes")
    return name


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigError(f"the Redis URL cannot be read ({error}); give {_EXAMPLES}") from None
    if parts.scheme not in SCHEMES or not url.lower().startswith(f"{parts.scheme}://"):
        raise ConfigError(
            f"a Redis URL begins with redis:// or rediss://, not {url.split('@')[-1]!r}; give {_EXAMPLES}"
        )
    if parts.fragment:
        raise ConfigError("the Redis URL holds a '#': where it is part of a password, write it as %23")
    return parts


def _hosts(places: str, default_port: int, *, is_one: bool) -> tuple[tuple[str, int], ...]:
    hosts = tuple(_host(place, default_port) for place in places.split(","))
    if len(hosts) > 1 and is_one:
        raise ConfigError(f"a Redis URL names one server, not {places!r}; several servers are several stores")
    return hosts


def _host(place: str, default_port: int) -> tuple[str, int]:
    found = re.fullmatch(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^:\[\]/\s]+))(?::(?P<port>[^:]*))?", place)
    if found is None:
        raise ConfigError(f"the Redis URL names no host in {place!r}; give {_EXAMPLES}")
    port = found["port"]
    if port is not None and (not port.isdecimal() or not 1 <= int(port) <= 65535):
        raise ConfigError(f"the port {port!r} of the Redis URL must be a number from 1 to 65535")
    return found["six"] or unquote(found["name"]), default_port if port is None else int(port)


def _service(path: str, is_sentinel: bool) -> str | None:
    rest = unquote(path).strip("/")
    if not is_sentinel:
        _check_database(rest)
        return None
    service, _, database = rest.partition("/")
    if not service:
        raise ConfigError("the Sentinel URL names no service: redis+sentinel://HOST:26379/SERVICE, such as mymaster")
    _check_database(database)
    return service


def _check_database(name: str) -> None:
    if name not in ("", "0"):
        raise ConfigError(f"the Redis URL names database {name!r}: search works in database 0 only, so leave it out")


def _query(text: str) -> dict[str, str]:
    query = dict(parse_qsl(text, keep_blank_values=True))
    for name in query:
        if name not in _QUERY:
            near = get_close_matches(name, _QUERY, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(_QUERY)}"
            raise ConfigError(f"the Redis URL has an unknown setting {name!r}: {hint}")
    return query


def _truth(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ConfigError(f"the Redis URL says {name}={text!r}: it must be true or false")
    return text.lower() == "true"


def _tls(query: dict[str, str], *, is_tls: bool) -> tuple[tuple[str, str], ...]:
    named = [(name, query[name]) for name in ("ssl_cert_reqs", *_TLS_FILES) if name in query]
    if named and not is_tls:
        raise ConfigError(f"the Redis URL has {named[0][0]} without TLS: begin it with rediss://")
    if query.get("ssl_cert_reqs", "required") not in _CHECKS:
        raise ConfigError(f"ssl_cert_reqs={query['ssl_cert_reqs']!r} must be one of {', '.join(_CHECKS)}")
    return tuple(named)
