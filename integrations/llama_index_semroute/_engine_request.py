"""A query of an engine as the core's request: what it is asked, over which documents, and with which settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from llama_index.core.schema import QueryBundle

from llama_index_semroute._cores import checked_name
from llama_index_semroute._forms import EngineForm, read
from semroute.binding import bound
from semroute.calls.values import Unsure
from semroute.entry import JSON
from semroute.request import Request, content_digest

if TYPE_CHECKING:
    from llama_index.core.base.base_query_engine import BaseQueryEngine

    from semroute.cache import SemanticCache


class Asker:
    """Builds the requests of one engine."""

    def __init__(
        self,
        engine: BaseQueryEngine,
        cache: SemanticCache,
        corpus: str | None,
        version: str | int | Callable[[], str | int] | None,
        fingerprint: str | None,
    ) -> None:
        checked_name("corpus", corpus)
        checked_name("fingerprint", fingerprint)
        self.corpus = corpus
        self._engine = engine
        self._cache = cache
        self._version = version
        self._fingerprint = fingerprint
        self._read: EngineForm | None = None
        self._frame: tuple[dict[str, JSON], Request] | None = None

    @property
    def model(self) -> str | None:
        """The model that answers, where one does and it is known."""
        return None if self._read is None else self._read.model

    @property
    def notes(self) -> tuple[str, ...]:
        """What the application should know of how far the answers are shared."""
        return () if self._read is None else self._read.notes

    def claim(self) -> None:
        """Take hold of documents that have no name; raises ConfigError where another engine holds others."""
        try:
            self._settings()
        except Unsure:  # said when a query is not cached for it
            return

    def form(self) -> dict[str, JSON]:
        """Return all but the question that must be equal for an answer to be reused; raises Unsure."""
        settings, documents = self._settings()
        return {"engine": settings, "corpus": list(documents), "version": self._versioned()}

    def request(self, bundle: QueryBundle) -> Request:
        """Return the request of a query, in the scope of the running context; raises Unsure."""
        form = self.form()
        binding = bound()
        if bundle.custom_embedding_strs or bundle.image_path is not None or binding.query is not None:
            return self._built(bundle, form)
        frame = self._frame
        if frame is None or frame[0] != form:  # of the plain queries of one engine only the words differ
            frame = self._frame = form, self._built(QueryBundle("x"), form)
        asked = replace(frame[1], query=bundle.query_str, scope=binding.scope, tags=binding.tags)
        return replace(asked, ttl=binding.ttl, bypass=binding.bypass)

    def _built(self, bundle: QueryBundle, form: dict[str, JSON]) -> Request:
        params: dict[str, JSON] = {
            **form,
            "embedded": bundle.custom_embedding_strs,  # type: ignore[dict-item]  # a list of strings is JSON
            "image": _image_digest(bundle),
        }
        # The documents stand in the place of a system prompt: with the scope they pick the shard.
        system = content_digest("\x00".join(form["corpus"]))  # type: ignore[arg-type]  # it is a list of strings
        request = self._cache.request(bundle.query_str, system=system, model=self.model, params=params)
        return replace(
            request,
            corpora=self._corpora(),
            is_versioned=self._version is not None,
            has_attachments=params["image"] is not None,
        )

    def _settings(self) -> tuple[str, tuple[str, ...]]:
        """Return the digest of the engine's settings, and the names of its documents."""
        named = () if self.corpus is None else (self.corpus,)
        if self._fingerprint is not None:
            return content_digest(self._fingerprint), named
        if self._read is None or not self._read.is_current:
            self._read = self._reread()
            if self.corpus is None:
                self._cache.corpora.claim(self, self._read.digest, self._read.index_ids)
        return self._read.digest, named if named else self._read.index_ids

    def _reread(self) -> EngineForm:
        try:
            form = read(self._engine)
        except Unsure as doubt:
            raise Unsure(f"{doubt}; give the engine a fingerprint=… that changes whenever its settings do") from doubt
        if self.corpus is None and not form.index_ids:
            raise Unsure(f"{type(self._engine).__name__} does not tell its index; give its documents a name (corpus=…)")
        return form

    def _corpora(self) -> tuple[str, ...]:
        """Return every name by which the documents may be invalidated: those of engines inside are as good."""
        named = () if self.corpus is None else (self.corpus,)
        return tuple(dict.fromkeys((*named, *(() if self._read is None else self._read.index_ids))))

    def _versioned(self) -> JSON:
        version = self._version
        return version if version is None or isinstance(version, str | int) else version()


def _image_digest(bundle: QueryBundle) -> str | None:
    if bundle.image_path is None:
        return None
    try:
        return content_digest(Path(bundle.image_path).read_bytes())
    except OSError as error:
        raise Unsure(f"the query's image cannot be read: {error}") from error
