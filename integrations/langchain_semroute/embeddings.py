"""Any LangChain `Embeddings` as an embedder of the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from semroute.embedders._adapting import MAX_CHARACTERS, AdaptedEmbedder, derived_identity

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings

_MODELS: Final = ("model", "model_name", "model_id", "deployment", "repo_id")
_VARIANTS: Final = ("dimensions", "revision")


class LangChainEmbedder(AdaptedEmbedder):
    """Wraps LangChain `Embeddings`; rows are brought to length 1.

    `identity` names the model, because vectors of two models must never meet: without it, it is derived from the
    class and its model attribute, and a class that has none is refused. `max_characters` is the longest text that the
    model surely embeds whole: LangChain knows no limit, and many models cut silently. Raise it for
    a model with a long one.
    """

    def __init__(
        self, embeddings: Embeddings, *, identity: str | None = None, max_characters: int = MAX_CHARACTERS
    ) -> None:
        if identity is None:
            identity = derived_identity("langchain", embeddings, _MODELS, _VARIANTS, type(self).__name__)
        super().__init__(embeddings.embed_query, identity, max_characters)
