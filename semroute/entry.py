"""What the cache keeps: answers, the entries that hold them, aliases, and the selectors that remove them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatVector: TypeAlias = NDArray[np.float32]

EVERY_DOCUMENT: Final = "*"
"""Among the documents of an answer: any one more would have been read as well, whatever it is about."""

JSON: TypeAlias = bool | int | float | str | list["JSON"] | dict[str, "JSON"] | None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a model call consumed, as the provider counted them."""

    input_tokens: int
    output_tokens: int

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer, with all that an integration needs to rebuild its own objects."""

    text: str
    payload: JSON = None
    """The integration's own form of the answer, as plain JSON; the core never looks inside."""
    model: str | None = None
    finish_reason: str | None = None
    """As the provider says it; None where it says nothing, which is no truncation."""
    has_tool_calls: bool = False
    is_refusal: bool = False
    usage: Usage | None = None
    usd: float | None = None
    """What the call cost, in US dollars, where that is known."""
    latency_s: float | None = None
    """How long the model took, in seconds: what a hit saves."""
    tier: int | None = None
    """How strong the model is that answered, among those of a route group; None outside of one."""
    documents: tuple[str, ...] = ()
    """Ids of the documents that it was made from: whoever changes one of them invalidates it by its id."""

    def is_of_tier(self, least: int) -> bool:
        """Say whether it may be served where a tier is asked for: never one of a weaker model, or of an unknown one."""
        return least == 0 or (self.tier is not None and self.tier >= least)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a request lives: three keyed digests, each a hexadecimal string.

    `shard` picks the store (scope and system prompt), `partition` is the hard pre-filter of the semantic tier
    (scope and context), `exact` is the key of the exact tier (scope, context and query).
    """

    shard: str
    partition: str
    exact: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored answer. Its identity is `address.exact`, the exact key of the request that made it."""

    address: Address
    query: str
    answer: Answer
    created_at: float
    """Seconds since the Unix epoch."""
    expires_at: float
    """Absolute; an entry is never served at or after it."""
    labels: frozenset[str] = field(default_factory=frozenset)
    """Digests of what can invalidate it: tenant, namespace, user, corpus, documents and tags, and the entry itself."""
    epoch: int = 0
    """The store's epoch when the request began: an invalidation since then wins over this entry."""
    vector: FloatVector | None = None
    """Unit length, shape (dimensions,); None for an answer that only the exact tier may serve."""
    embedder: str | None = None
    """Identity of the embedder that made `vector`."""

    @property
    def id(self) -> str:
        return self.address.exact


@dataclass(frozen=True, slots=True)
class Alias:
    """An exact-tier pointer from a request that hit by meaning to the entry that served it.

    It carries no vector and dies with its entry (same expiry, labels and epoch).
    """

    address: Address
    entry_id: str
    query: str
    similarity: float
    p_reusable: float | None
    policy: str
    """Version of the policy that it was made under."""
    created_at: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A neighbour that the semantic tier found, without its answer.

    `similarity` is the cosine clipped to [0, 1]; `id` is the exact key of the entry.
    """

    id: str
    query: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Found:
    """What the exact tier knows of a key: the live entry (or None), the alias that led to it, the store's epoch."""

    entry: Entry | None
    alias: Alias | None
    epoch: int


@dataclass(frozen=True, slots=True)
class Selector:
    """Which entries to remove: those that carry every one of `labels` and were made before `created_before`.

    With no label and no time it means every entry.
    """

    labels: frozenset[str] = field(default_factory=frozenset)
    created_before: float | None = None
    under_way: bool = False
    """Whether only answers are meant that are still under way: what is stored stays, and a put is refused whose request
    began before."""
