"""The scope that calls are made in, bound to the running context and read when a call begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta

from semroute.errors import ConfigError
from semroute.request import Scope, checked_tags, checked_ttl


@dataclass(frozen=True, slots=True)
class Binding:
    """What an application has said about the calls inside a `scope(...)` block."""

    scope: Scope = field(default_factory=Scope)
    query: str | None = None
    """The user's words, where the prompt is a rendered template."""
    tags: tuple[str, ...] = ()
    ttl: timedelta | None = None
    bypass: bool = False
    least_tier: int = 1
    """The floor of quality: the weakest tier of models whose answers will do."""


_BINDING: ContextVar[Binding | None] = ContextVar("semroute_binding", default=None)


def bound() -> Binding:
    """Return the binding of the running context."""
    binding = _BINDING.get()
    return Binding() if binding is None else binding


def checked_tier(tier: int) -> int:
    """Return a tier of models as it is, or raise ConfigError for what is none."""
    given: object = tier
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise ConfigError(f"least_tier must be a whole number of at least 1, not {given!r}")
    return tier


@contextmanager
def rebound(binding: Binding) -> Iterator[None]:
    """Run a block under a binding that was taken earlier, as a stream read after its scope block needs it."""
    token = _BINDING.set(binding)
    try:
        yield
    finally:
        _BINDING.reset(token)


@contextmanager
def scope(
    *,
    tenant: str | None = None,
    namespace: str | None = None,
    user: str | None = None,
    query: str | None = None,
    tags: Iterable[str] = (),
    ttl: timedelta | None = None,
    bypass: bool = False,
    least_tier: int | None = None,
) -> Iterator[Binding]:
    """Bind the scope of every call that begins inside the block; what is not named is inherited.

    `query` names the user's words where the prompt is a rendered template, `tags` can be invalidated later,
    `ttl` bounds the life of the answers, `bypass` asks for fresh answers that are not stored. `least_tier` is a floor
    of quality for routed models: no weaker model answers, nor any answer of one; of several floors the highest counts.
    """
    outer = bound()
    binding = Binding(
        scope=Scope(
            tenant=outer.scope.tenant if tenant is None else tenant,
            namespace=outer.scope.namespace if namespace is None else namespace,
            user=outer.scope.user if user is None else user,
        ),
        query=outer.query if query is None else query,
        tags=(*outer.tags, *checked_tags(tags)),
        ttl=outer.ttl if ttl is None else checked_ttl(ttl),
        bypass=outer.bypass or bypass,
        least_tier=outer.least_tier if least_tier is None else max(outer.least_tier, checked_tier(least_tier)),
    )
    with rebound(binding):
        yield binding
