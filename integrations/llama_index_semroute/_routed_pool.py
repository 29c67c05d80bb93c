"""The LLMs that a routed one chooses from: their catalogue, the cache in front of them, and whose answers count."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_index.core.base.llms.types import MessageRole
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM
from llama_index.core.llms.structured_llm import StructuredLLM

from llama_index_semroute._cores import CacheLike, checked_pieces, core_of
from llama_index_semroute._llm_identity import ASKER, of_llm, temperature_of
from llama_index_semroute._llm_request import Asked, Asker
from semroute.binding import bound, checked_tier
from semroute.cache import SemanticCache
from semroute.calls import pool
from semroute.calls.pool import catalog_of, check_group
from semroute.calls.values import Unsure
from semroute.errors import ConfigError
from semroute.request import Request, canonical, content_digest
from semroute.router.catalog import CatalogModel, ModelCatalog
from semroute.router.learned import LearnedRouter

if TYPE_CHECKING:
    from llama_index_semroute._llm_request import QueryOf
    from llama_index_semroute._routed_request import RoutedAsked
    from semroute.entry import JSON
    from semroute.router import Router
    from semroute.router.outcomes import Outcomes


@dataclass(frozen=True, slots=True)
class Member:
    """An LLM of the pool: a copy of the one that was given, which looks nothing up by itself."""

    llm: LLM
    identity: str | None
    """What it is, said by the application where it cannot be read."""

    def form(self) -> JSON:
        """Say what it is; raises Unsure. It is read anew each time, because its settings can be changed."""
        return of_llm(self.llm, self.identity).form


@dataclass(frozen=True, kw_only=True)
class Pool(pool.Pool):
    """The LLMs by the catalogue's names."""

    asker: Asker
    members: Mapping[str, Member]
    counts_tokens: bool = field(init=False)

    def __post_init__(self) -> None:
        has_limits = any(model.context_tokens is not None for model in self.catalog)
        object.__setattr__(self, "counts_tokens", has_limits)

    def request(self, routed: RoutedAsked, names: tuple[str, ...], group: str | None) -> Asked:
        """Build the request of a call within the context of one model, or of a whole group; never raises."""
        try:
            return self.asker.of_params(
                routed.messages, self._params(routed, names, group), is_formatted=routed.is_formatted
            )
        except Unsure as doubt:
            self.notices.tell(f"a call is not cached: {doubt}")
        except Exception as error:  # fail open: the models can be asked without a cache
            self.notices.failed("lookup", error)
        # It is never cached, but the router still sees what is asked.
        query = next((turn.content for turn in reversed(routed.messages) if turn.role is MessageRole.USER), None)
        binding = bound()
        text = "" if query is None else query
        return Asked(Request(text, scope=binding.scope, tags=binding.tags, bypass=True))

    def _params(self, routed: RoutedAsked, names: tuple[str, ...], group: str | None) -> dict[str, JSON]:
        """Return all that must be equal for an answer to be reused, but the messages; raises Unsure."""
        llms = {name: self.members[name] for name in sorted(names)}
        models: list[JSON] = [
            [name, self.catalog[name].tier, content_digest(canonical(member.form()))] for name, member in llms.items()
        ]
        params: dict[str, JSON] = {"routed": {"group": group, "models": models, **routed.form()}}
        temperatures = [temperature_of(member.llm, routed.arguments) for member in llms.values()]
        highest = max((each for each in temperatures if each is not None), default=None)
        return params if highest is None else {**params, "temperature": highest}


def pool_of(
    models: Mapping[str, LLM],
    *,
    cache: CacheLike,
    catalog: ModelCatalog | str | Path | None,
    group: str | None,
    least_tier: int,
    router: Router | None,
    outcomes: Outcomes | None,
    query: QueryOf | None,
    replay_chunk_chars: int,
) -> Pool:
    """Put LLMs, catalogue and cache together; raises ConfigError for what does not go together."""
    _check(models)
    check_group(group)
    told = catalog_of(models, catalog, _by_metadata)
    chosen_from = ModelCatalog(
        tuple(replace(model, tools=model.tools and calls_functions(models[model.name])) for model in told)
    )
    core = _core_of(cache, models, router, chosen_from)
    asker = Asker(core, query=query, replay_chunk_chars=checked_pieces(replay_chunk_chars))
    return Pool(
        core=core,
        asker=asker,
        catalog=chosen_from,
        members={name: _member(llm) for name, llm in models.items()},
        group=group,
        least_tier=checked_tier(least_tier),
        outcomes=outcomes,
        notices=asker.notices,
    )


def calls_functions(llm: LLM) -> bool:
    """Say whether an LLM can be given tools."""
    return isinstance(llm, FunctionCallingLLM) and llm.metadata.is_function_calling_model


def _check(models: object) -> None:
    if not isinstance(models, Mapping) or not models:
        raise ConfigError(f"models must be LLMs by name, at least one, not {models!r}")
    for name, llm in models.items():
        if not isinstance(llm, LLM) or isinstance(llm, StructuredLLM):
            raise ConfigError(
                f"model {name!r} must be an LLM, not {type(llm).__name__}: a schema goes to the routed LLM"
            )


def _by_metadata(name: str, tier: int, llm: LLM) -> CatalogModel:
    """Return what LlamaIndex knows of an LLM's capabilities; it may do what nothing is known of."""
    window = llm.metadata.context_window
    is_known = window > 0 and window != DEFAULT_CONTEXT_WINDOW  # which LLMs have that do not tell
    return CatalogModel(name, tier, context_tokens=window if is_known else None, vision=True)


def _core_of(
    cache: CacheLike, models: Mapping[str, LLM], router: Router | None, catalog: ModelCatalog
) -> SemanticCache:
    """Return the cache that was named, or that an LLM holds, or a new one with the given router or a learned one."""
    held = next((asker.cache for asker in map(_asker, models.values()) if asker is not None), None)
    given = held if cache is None else cache
    if given is not None and not isinstance(given, str | Path):
        if router is not None:
            raise ConfigError("the cache has a router: give it router=… where the cache is made, or no cache here")
        return core_of(given)
    stores: tuple[Any, ...] = () if given is None else (given,)
    return SemanticCache(*stores, router=LearnedRouter(catalog) if router is None else router, prices=catalog)


def _asker(llm: LLM) -> Asker | None:
    asker = llm.__dict__.get(ASKER)
    return asker if isinstance(asker, Asker) else None


def _member(llm: LLM) -> Member:
    asker, copy = _asker(llm), llm.model_copy()
    copy.__dict__.pop(ASKER, None)
    return Member(copy, None if asker is None else asker.identity)
