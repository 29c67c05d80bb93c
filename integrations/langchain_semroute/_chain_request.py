"""The call of a chain as the core's request: everything but the user's words is context."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from langchain_semroute._chain_fingerprint import Located, Reader
from langchain_semroute._chain_input import QueryOf, context_form, question_of
from semroute.binding import bound
from semroute.calls.values import Unsure, schema_digest
from semroute.entry import JSON
from semroute.request import Request, canonical, content_digest

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable, RunnableConfig
    from pydantic import BaseModel

    from langchain_semroute._request import Asker
    from semroute.calls.notices import Notices

_BOOKKEEPING: Final = frozenset({"thread_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map"})
"""What LangGraph writes into every configuration."""


@dataclass(frozen=True, slots=True)
class ChainAsker:
    """Builds the requests of one chain."""

    runnable: Runnable[object, object]
    query: QueryOf | None
    corpus: str
    corpus_version: str | int | None
    fingerprint: str | None
    output: type[BaseModel] | None
    notices: Notices

    def ask(self, asker: Asker, given: object, config: RunnableConfig, arguments: Mapping[str, object]) -> Request:
        """Build the request of a call; raises Unsure where two calls could not be told apart."""
        binding = bound()
        question = question_of(given, self.query)
        params = self._params(config, arguments)
        if question.rest is not None:
            params["rest"] = question.rest
        if binding.least_tier != 1:
            params["least_tier"] = binding.least_tier
        scope, tags = asker.scoped(binding)
        words = binding.query
        request = Request.from_messages(
            question.messages,
            query=words if words is not None and words in question.messages[-1].text else None,
            params=params,
            scope=scope,
            tags=tags,
            ttl=binding.ttl,
            bypass=binding.bypass,
        )
        return replace(request, corpora=(self.corpus,), is_versioned=self.corpus_version is not None)

    def _params(self, config: RunnableConfig, arguments: Mapping[str, object]) -> dict[str, JSON]:
        reader = Reader(self.notices, is_told=self.fingerprint is not None)
        params: dict[str, JSON] = {
            "chain": content_digest(canonical(self._read(reader))),
            "corpus": self.corpus,
            "corpus_version": self.corpus_version,
            "fingerprint": self.fingerprint,
            "configured": self._configured(config, reader),
            "arguments": context_form(arguments),
        }
        if self.output is not None:
            params["output"] = schema_digest(self.output)
        if reader.models.temperature is not None:
            params["temperature"] = reader.models.temperature
        return params

    def _read(self, reader: Reader) -> JSON:
        try:
            return reader.read(self.runnable, "the chain")
        except Located as doubt:
            raise Unsure(
                f"{doubt}. Give cached_chain() fingerprint='…', a text of yours that changes whenever that part does"
            ) from doubt

    def _configured(self, config: RunnableConfig, reader: Reader) -> JSON:
        """Return what is configured for this call: all that the chain declares, and all that its code may look at."""
        given = config.get("configurable", {})
        declared = {spec.id for spec in self.runnable.config_specs}
        counted = {key: value for key, value in given.items() if key in declared or _counts(key, reader)}
        metadata = config.get("metadata", {}) if reader.asks_config else {}
        told = {key: value for key, value in metadata.items() if _counts(key, reader) and key not in given}
        return context_form({"configurable": counted, "metadata": told})


def _counts(key: str, reader: Reader) -> bool:
    return not key.startswith("__") and (reader.asks_config or key not in _BOOKKEEPING)
