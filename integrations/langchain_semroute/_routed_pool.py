"""The models that a routed model chooses from: their catalogue, the cache in front of them, and whose answers count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel

from langchain_semroute import _identity
from langchain_semroute._values import Unsure
from langchain_semroute.cache import SemrouteCache, cache_of
from langchain_semroute.cached_model import cached
from semroute.binding import checked_tier
from semroute.cache import SemanticCache
from semroute.calls import pool
from semroute.calls.pool import catalog_of, check_group
from semroute.errors import ConfigError
from semroute.router.catalog import CatalogModel, ModelCatalog
from semroute.router.learned import LearnedRouter

if TYPE_CHECKING:
    from langchain_semroute._identity import Identity
    from langchain_semroute._routed_request import Asked
    from langchain_semroute.cache import QueryOf
    from semroute.entry import JSON
    from semroute.request import Request
    from semroute.router import Router
    from semroute.router.outcomes import Outcomes


@dataclass(frozen=True, slots=True)
class Member:
    """A model of the pool: a copy of the one that was given, and the view of the cache that this copy alone holds."""

    model: BaseChatModel
    held: SemrouteCache


@dataclass(frozen=True, kw_only=True)
class Pool(pool.Pool):
    """The models by the catalogue's names, behind LangChain's view of the cache."""

    cache: SemrouteCache
    members: Mapping[str, Member]
    _identities: dict[str, Identity] = field(default_factory=dict)

    def request(self, asked: Asked, names: tuple[str, ...], group: str | None) -> Request:
        """Build the request of a call within the context of one model, or of a whole group; never raises."""
        try:
            identities = {name: self._identity(name) for name in sorted(names)}
            models: list[JSON] = [[name, self.catalog[name].tier, each.digest] for name, each in identities.items()]
            routed: JSON = {"group": group, "models": models, **asked.form()}
            temperature = asked.temperature(each.temperature for each in identities.values())
            return self.cache.asker.of_routed(asked.messages, routed, temperature)
        except Unsure as doubt:
            self.cache.notices.tell(f"a call is not cached: {doubt}")
        except Exception as error:  # fail open: the models can be asked without a cache
            self.cache.failed("lookup", error)
        return self.cache.asker.of_doubt(asked.messages)

    def _identity(self, name: str) -> Identity:
        """Say what a model is. It is read once: the copy that is held here is nobody else's to change."""
        known = self._identities.get(name)
        if known is None:
            member = self.members[name]
            known = self._identities[name] = _identity.of_model(member.model, None, {}, member.held.asker.identity)
            if known.note is not None:
                self.cache.notices.tell(known.note)
        return known


def pool_of(
    models: Mapping[str, BaseChatModel],
    *,
    cache: SemrouteCache | SemanticCache | str | Path | None,
    catalog: ModelCatalog | str | Path | None,
    group: str | None,
    least_tier: int,
    router: Router | None,
    outcomes: Outcomes | None,
    query: QueryOf | None,
    replay_chunk_chars: int,
) -> Pool:
    """Put models, catalogue and cache together; raises ConfigError for what does not go together."""
    _check(models, group)
    chosen_from = catalog_of(models, catalog, _by_profile)
    base = _cache_of(cache, models, router, chosen_from)
    if query is not None:
        base = base.view(replace(base.asker, query=query))
    members = {name: _member(model, base, replay_chunk_chars) for name, model in models.items()}
    return Pool(
        core=base.core,
        cache=base,
        catalog=chosen_from,
        members=members,
        group=group,
        least_tier=checked_tier(least_tier),
        outcomes=outcomes,
        notices=base.notices,
    )


def _check(models: object, group: object) -> None:
    if not isinstance(models, Mapping) or not models:
        raise ConfigError(f"models must be chat models by name, at least one, not {models!r}")
    for name, model in models.items():
        if not isinstance(model, BaseChatModel):
            raise ConfigError(
                f"model {name!r} must be a chat model, not {type(model).__name__}: bind tools to the routed model"
            )
    check_group(group)


def _by_profile(name: str, tier: int, model: BaseChatModel) -> CatalogModel:
    """Return what LangChain knows of a model's capabilities; it may do what nothing is known of."""
    profile: Mapping[str, Any] = model.profile if isinstance(model.profile, Mapping) else {}
    tokens = profile.get("max_input_tokens")
    return CatalogModel(
        name,
        tier,
        context_tokens=tokens if isinstance(tokens, int) and tokens > 0 else None,
        tools=profile.get("tool_calling") is not False,
        vision=profile.get("image_inputs") is not False,
        structured_output=profile.get("structured_output") is not False or profile.get("tool_calling") is True,
    )


def _cache_of(
    cache: SemrouteCache | SemanticCache | str | Path | None,
    models: Mapping[str, BaseChatModel],
    router: Router | None,
    catalog: ModelCatalog,
) -> SemrouteCache:
    """Return the cache that was named, or that a model holds, or a new one with the given router or a learned one."""
    held = next((model.cache for model in models.values() if isinstance(model.cache, SemrouteCache)), None)
    given = held if cache is None else cache
    if isinstance(given, SemrouteCache | SemanticCache):
        if router is not None:
            raise ConfigError("the cache has a router: give it router=… where the cache is made, or no cache here")
        return cache_of(given)
    stores = () if given is None else (given,)
    return SemrouteCache(*stores, router=LearnedRouter(catalog) if router is None else router, prices=catalog)


def _member(model: BaseChatModel, base: SemrouteCache, replay_chunk_chars: int) -> Member:
    own = model.cache.asker if isinstance(model.cache, SemrouteCache) else None
    copy = cached(
        model,
        base,
        query=base.asker.query,
        identity=None if own is None else own.identity,
        replay_chunk_chars=replay_chunk_chars,
    )
    held = copy.cache
    if not isinstance(held, SemrouteCache):  # a class that makes something else of its field
        raise ConfigError(f"{type(model).__name__} does not keep the cache that it is given")
    return Member(copy, held)
