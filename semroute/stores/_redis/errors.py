"""Errors of Redis and of the network, as ours: what was wrong, at which server, and what to do."""

from __future__ import annotations

import re
import socket
import ssl
from typing import TYPE_CHECKING, Final

from semroute.errors import ConfigError, SemrouteError, StoreError

if TYPE_CHECKING:
    from semroute.stores._redis.location import RedisLocation


class NoScript(StoreError):
    """The server does not know a script by its digest: it was restarted, or its scripts were flushed."""


class NoIndex(StoreError):
    """The server has no index of the name that was asked for."""


class OutOfMemory(StoreError):
    """The server holds as much as it may, and nothing that it is allowed to evict."""


NEEDS_SEARCH: Final = (
    "a Redis with vector search is needed: Redis >= 8 (docker run -p 6379:6379 redis:8), or Redis Stack >= 7.2"
)
_NO_INDEX: Final = re.compile(r"no such index|unknown index|index not found", re.IGNORECASE)
_NO_SEARCH: Final = re.compile(r"unknown command.{0,4}FT\.", re.IGNORECASE)
_TOO_OLD: Final = re.compile(r"invalid field type|could not parse (the )?field|unknown argument", re.IGNORECASE)
_NO_CLUSTER: Final = re.compile(r"cluster support disabled", re.IGNORECASE)
_ON_ITS_WAY: Final = re.compile(r"access a non local key", re.IGNORECASE)
_FOREIGN: Final = re.compile(r"wrongtype", re.IGNORECASE)


def mapped(error: Exception, location: RedisLocation) -> SemrouteError:
    """Return the error that a caller of the store should see."""
    if isinstance(error, SemrouteError):
        return error
    if isinstance(error.__cause__, Exception) and type(error).__module__.startswith("redisvl"):
        return mapped(error.__cause__, location)
    known = _of_cluster(error, location) or _of_connection(error, location) or _of_reply(str(error), location)
    return StoreError(f"{location}: {error}") if known is None else known


def _of_cluster(error: Exception, location: RedisLocation) -> SemrouteError | None:
    from redis import exceptions as theirs

    match error:
        case theirs.ClusterDownError():
            return StoreError(
                f"{location}: no node serves this part of the cluster ({error}): bring its node back, give every master"
                " a replica, and set cluster-require-full-coverage no, so that the other parts go on meanwhile"
            )
        case theirs.AskError() | theirs.TryAgainError() if location.is_cluster:  # MOVED is an AskError too
            return StoreError(f"{location}: this part of the cluster is on its way to another node ({error})")
        case theirs.AskError() | theirs.TryAgainError():
            return ConfigError(f"{location} is a node of a Redis Cluster: begin its URL with redis+cluster://")
    return None


def _of_connection(error: Exception, location: RedisLocation) -> SemrouteError | None:
    from redis import exceptions as theirs

    text = str(error)
    match error:
        case theirs.NoScriptError():
            return NoScript(text)
        case theirs.AuthenticationError() | theirs.AuthorizationError():
            return ConfigError(f"{location} refuses the user or password ({text}): give redis://USER:PASSWORD@HOST")
        case theirs.NoPermissionError():
            return ConfigError(
                f"{location}: the user may not do this ({text}): it needs"
                " ~semroute:* +@read +@write +@scripting +ft._list +ft.create +ft.search +ft.info +ft.dropindex"
            )
        case theirs.ReadOnlyError():
            return StoreError(f"{location} is a read-only replica: nothing new is stored; name its master in the URL")
        case theirs.BusyLoadingError():
            return StoreError(f"{location} is still loading its data: try again in a moment")
        case theirs.InvalidResponse():
            return ConfigError(f"{location} does not speak the Redis protocol: check host and port of the URL")
        case theirs.TimeoutError() | TimeoutError():
            return StoreError(f"{location} did not answer within its deadline ({text})")
        case theirs.ConnectionError() | OSError():
            return _unreachable(error, location)
    return None


def _unreachable(error: Exception, location: RedisLocation) -> SemrouteError:
    text = str(error)
    if "No connection available" in text or "Too many connections" in text:
        return StoreError(f"all connections to {location} were in use for too long: raise pool_size or pool_wait_s")
    if "No master found" in text:
        return StoreError(f"no sentinel of {location} knows a master of that name ({text}): check hosts and service")
    if "Protocol Error" in text or "invalid response" in text.lower():
        return ConfigError(f"{location} does not speak the Redis protocol: check host and port of the URL")
    if "max number of clients" in text:
        return StoreError(f"{location} accepts no more clients: raise its maxclients, or lower pool_size")
    if any(isinstance(one, ssl.SSLError) for one in _causes(error)) or "SSL" in text:
        return StoreError(f"no TLS connection to {location}: {text}; check rediss:// and ssl_ca_certs in the URL")
    if any(isinstance(one, socket.gaierror) for one in _causes(error)):
        return StoreError(f"the host of {location} is unknown ({text}): check the spelling of the URL")
    return StoreError(f"{location} cannot be reached: {text}")


def _causes(error: BaseException | None) -> list[BaseException]:
    causes: list[BaseException] = []
    while error is not None and len(causes) < 8:
        causes.append(error)
        error = error.__cause__ or error.__context__
    return causes


def _of_reply(text: str, location: RedisLocation) -> SemrouteError | None:
    if _NO_SEARCH.search(text):
        return ConfigError(f"{location} has no search module: {NEEDS_SEARCH}")
    if _NO_CLUSTER.search(text):
        return ConfigError(f"{location} is no Redis Cluster: begin its URL with redis:// or rediss://")
    if _ON_ITS_WAY.search(text):
        return StoreError(f"{location}: this part of the cluster is on its way to another node ({text})")
    if _NO_INDEX.search(text):
        return NoIndex(text)
    if "OOM" in text or "used memory >" in text:
        return OutOfMemory(
            f"{location} is out of memory: raise its maxmemory, set its maxmemory-policy to volatile-lru,"
            " or lower max_entries or max_bytes"
        )
    if "NOAUTH" in text or "WRONGPASS" in text or "HELLO must be called" in text:
        return ConfigError(f"{location} refuses the user or password ({text}): give redis://USER:PASSWORD@HOST")
    if _TOO_OLD.search(text):
        return ConfigError(f"{location} has a search module without vectors ({text}): {NEEDS_SEARCH}")
    if _FOREIGN.search(text):
        return StoreError(f"{location} holds a foreign key under the prefix semroute: ({text}): rename or remove it")
    if "READONLY" in text:
        return StoreError(f"{location} is a read-only replica: nothing new is stored; name its master in the URL")
    return None
