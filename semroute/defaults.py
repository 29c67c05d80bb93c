"""What a cache is made of where its maker named no part of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from semroute.admission import AdmissionLimits
from semroute.cacheability import CacheabilityLimits
from semroute.errors import ConfigError
from semroute.gate import Policy
from semroute.guards.lexical import lexical_guards
from semroute.guards.shipped import NamedVerifier, ShippedVerifier, verifier_of
from semroute.policy_file import check_parts, read_policy
from semroute.rules import Rules

if TYPE_CHECKING:
    from semroute.config import Settings
    from semroute.embedders import Embedder
    from semroute.guards import Estimator, Guard
    from semroute.review.log import ShadowLog
    from semroute.stores import Store


def store_of(
    store: str | Path | Store | None,
    more: Sequence[str | Path | Store],
    settings: Settings,
    clock: Callable[[], float],
) -> Store:
    """Return the store that was given or is set; several are the shards of one ring."""
    from semroute.stores.urls import open_ring, open_store

    if more and store is None:
        raise ConfigError("the first of several stores is None: give each by its URL, path or object")
    if isinstance(store, list | tuple):
        raise ConfigError("give several stores one after the other, SemanticCache(first, second), not as a list")
    targets = (*settings.stores, *more) if store is None else (store, *more)
    if len(targets) > 1:
        return open_ring(
            targets,
            replicas=settings.replicas,
            max_entries=settings.max_entries,
            max_bytes=settings.max_bytes,
            clock=clock,
        )
    if settings.replicas > 1:
        raise ConfigError(f"replicas={settings.replicas} need as many stores: give several, or leave replicas out")
    only = targets[0] if targets else None
    if only is None or isinstance(only, str | Path):
        return open_store(only, max_entries=settings.max_entries, max_bytes=settings.max_bytes, clock=clock)
    return only


def default_log(settings: Settings) -> ShadowLog:
    from semroute.review.log import ShadowLog

    return ShadowLog(settings.shadow_log)


def existing_log(settings: Settings) -> tuple[ShadowLog, ...]:
    """Return the shadow log of the settings where there is one."""
    log = default_log(settings)
    return (log,) if log.path.is_file() else ()


def default_embedder() -> Embedder:
    from semroute.embedders.onnx import OnnxEmbedder

    return OnnxEmbedder()


def _policy_of(settings: Settings, policy: Policy | str | Path | None) -> Policy:
    named = settings.policy if policy is None else policy
    if named is not None and settings.threshold is not None:
        raise ConfigError("give either a policy or a threshold, not both")
    if isinstance(named, Policy):
        return named
    if named is None:
        return Policy() if settings.threshold is None else Policy.fixed(settings.threshold)
    return read_policy(str(named))


def _verifier_set(settings: Settings) -> Estimator | None:
    """Load the verifier that the settings name; raises ConfigError that says where the name comes from."""
    try:
        return verifier_of(str(settings.verifier))
    except ConfigError as error:
        raise ConfigError(
            f"the setting verifier={settings.verifier!r} (semroute.toml or SEMROUTE_VERIFIER) names none: {error}"
        ) from error


def rules_of(
    settings: Settings,
    policy: Policy | str | Path | None,
    guards: Iterable[Guard] | None,
    verifier: NamedVerifier | None,
) -> Rules:
    chosen = _policy_of(settings, policy)
    standing: Estimator | None = None
    if verifier is not None or isinstance(settings.verifier, str):
        standing = _verifier_set(settings) if verifier is None else verifier_of(verifier)
        check_parts(chosen, verifier=None if standing is None else standing.digest)
    elif guards is None and settings.verifier:
        standing = ShippedVerifier()  # not read yet: the flow holds it against the policy
    return Rules(
        policy=chosen,
        guards=lexical_guards() if guards is None else tuple(guards),
        verifier=standing,
        keeps_guards=guards is not None,
        cacheability=CacheabilityLimits(max_temperature=settings.max_temperature),
        admission=AdmissionLimits(max_bytes=settings.max_answer_bytes),
        require_scope=settings.require_scope,
        k=settings.candidates,
    )
