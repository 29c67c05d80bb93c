"""What is being asked: a model call taken apart into scope, context and query, and the digests that name it."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import lru_cache
from hashlib import blake2b

from semroute.entry import JSON, Address
from semroute.errors import ConfigError

SLOT = "\x00query\x00"
"""Stands in a turn for the user's words, which are compared by meaning and not part of the context."""

VOLATILE: Mapping[str, re.Pattern[str]] = {
    "uuid": re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE),
    "timestamp": re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"),
    "unix_time": re.compile(r"\b1[0-9]{9}(?:[0-9]{3})?\b"),
    "hex_id": re.compile(r"\b(?=[0-9a-f]*\d)(?=\d*[a-f])[0-9a-f]{16,}\b", re.IGNORECASE),
    "request_id": re.compile(r"\b(?:req|request|trace|span|run|session|msg|call)[_-][A-Za-z0-9]{8,}\b"),
}
"""The named rules by which tokens that change from call to call can be left out of keys and comparison (opt-in)."""


_ENCODER = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_LONG = 16_384
"""Contexts with more characters are digested each time and not remembered."""
MAX_TTL = timedelta(days=3650)


def checked_ttl(ttl: timedelta | None) -> timedelta | None:
    """Return a time to live as it is, or raise ConfigError when no answer could live by it."""
    given: object = ttl
    if given is not None and not (isinstance(given, timedelta) and timedelta(0) < given <= MAX_TTL):
        raise ConfigError(f"ttl must be a timedelta longer than 0 s and at most {MAX_TTL.days} days, not {given!r}")
    return ttl


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags as a tuple, or raise ConfigError for a lone string, whose letters would each become a tag."""
    given = (tags,) if isinstance(tags, str) else tuple(tags)
    if isinstance(tags, str) or not all(isinstance(tag, str) for tag in given):
        raise ConfigError(f"tags must be several strings, such as a list of them, not {tags!r}")
    return given


def fold(text: str) -> str:
    """Fold what never changes a question: Unicode form (NFC) and runs of white space; never case.

    Where indentation may carry meaning (fenced or indented code) only the ends of lines are trimmed.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    if "```" in text or "\n" in text:
        trimmed = "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")
        if "```" in trimmed or "\n  " in trimmed or "\n\t" in trimmed:
            return trimmed
    return " ".join(text.split())


def canonical(value: JSON) -> str:
    """Write a JSON value in its one canonical form: sorted keys, no white space; ConfigError for what is no JSON."""
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"parameters and tool arguments must be plain JSON: {error}") from error


def content_digest(content: bytes | str) -> str:
    """Name a piece of content (an image, a schema) by an unkeyed digest that is equal on every machine."""
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return blake2b(raw, digest_size=16, person=b"semroute.content").hexdigest()


@dataclass(frozen=True, slots=True)
class Scope:
    """Who may share an answer. Set by the application, never read from text."""

    tenant: str | None = None
    namespace: str | None = None
    user: str | None = None
    """Set for answers about one person's own state, which only that person may be served."""

    def __post_init__(self) -> None:
        if self.tenant is not None:
            _check_text("tenant", self.tenant)
        if self.namespace is not None:
            _check_text("namespace", self.namespace)
        if self.user is not None:
            _check_text("user", self.user)

    @property
    def is_empty(self) -> bool:
        return self.tenant is None and self.namespace is None and self.user is None


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be a string or None, not {value!r}: write str(...) round it")
    if not value.strip():
        raise ConfigError(f"{name} must not be blank, or all who have none would share answers: leave it out (None)")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that a model asked for; its id is not part of its identity."""

    name: str
    arguments: JSON = None


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation, without ids, usage and response metadata."""

    role: str
    text: str = ""
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    blocks: tuple[str, ...] = ()
    """Digests of what is not text: images, audio, files."""

    def canonical(self, text: str | None = None) -> dict[str, JSON]:
        """Return the canonical form, with `text` in the place of the message's own where it is given."""
        form: dict[str, JSON] = {"role": self.role, "text": fold(self.text) if text is None else text}
        if self.name is not None:
            form["name"] = self.name
        if self.tool_calls:
            form["tool_calls"] = [{"name": call.name, "arguments": call.arguments} for call in self.tool_calls]
        if self.blocks:
            form["blocks"] = list(self.blocks)
        return form


@dataclass(frozen=True, slots=True)
class Request:
    """One model call, taken apart: scope, context and query.

    `context` is canonical JSON of all that must be equal for an answer to be reused; `query` is what is embedded
    and compared by meaning. The other fields are facts that the rules ask for.
    """

    query: str
    scope: Scope = field(default_factory=Scope)
    context: str = "{}"
    system: str = ""
    """The system prompt, folded: with the scope it picks the shard."""
    tags: tuple[str, ...] = ()
    ttl: timedelta | None = None
    """Upper bound of the answer's life; None leaves it to the rules."""
    model: str | None = None
    temperature: float | None = None
    has_attachments: bool = False
    ends_with_user: bool = True
    """False where the call answers a tool's result and not the user's words."""
    bypass: bool = False
    """The application asked for a fresh answer that is not stored."""
    least_tier: int = 0
    """In a route group, whose models share answers: the weakest tier whose answers may be served; 0 outside of one."""
    is_routed: bool = False
    """Whether the caller takes the model of the decision, so that a miss is worth a second look at it."""
    corpora: tuple[str, ...] = ()
    """The collections of documents that the answer is made from, by which it can be invalidated."""
    is_versioned: bool = False
    """Whether the version of the documents is part of the context, so that its answers do not perish with time."""

    @classmethod
    def of(
        cls,
        query: str,
        *,
        words: str | None = None,
        system: str = "",
        history: Sequence[Message | Mapping[str, str]] = (),
        model: str | None = None,
        params: Mapping[str, JSON] | None = None,
        scope: Scope | None = None,
        tags: Iterable[str] = (),
        ttl: timedelta | None = None,
        bypass: bool = False,
    ) -> Request:
        """Build a request from plain arguments.

        `history` holds earlier turns, oldest first, as messages or as mappings with "role" and "content"; `params`
        is everything else that must be equal (tools, response schema, sampling parameters), as JSON. Where `query` is
        a rendered template, `words` names the user's words inside it (see `from_messages`).
        """
        if not history and params is None and words is None and isinstance(query, str):
            context, folded = _frame(system, model) if len(system) <= _LONG else _frame.__wrapped__(system, model)
            return cls(
                query=query,
                scope=Scope() if scope is None else scope,
                context=context,
                system=folded,
                tags=checked_tags(tags),
                ttl=checked_ttl(ttl),
                model=model,
                bypass=bypass,
            )
        turns = [turn if isinstance(turn, Message) else _message(turn) for turn in history]
        head = [Message("system", system)] if system else []
        return cls.from_messages(
            [*head, *turns, Message("user", query)],
            query=words,
            model=model,
            params=params,
            scope=scope,
            tags=tags,
            ttl=ttl,
            bypass=bypass,
        )

    @classmethod
    def from_messages(
        cls,
        messages: Sequence[Message],
        *,
        query: str | None = None,
        model: str | None = None,
        params: Mapping[str, JSON] | None = None,
        scope: Scope | None = None,
        tags: Iterable[str] = (),
        ttl: timedelta | None = None,
        bypass: bool = False,
    ) -> Request:
        """Build a request from a conversation, oldest turn first.

        The query is the last user turn. Where that turn is a rendered template, `query` names the user's words
        inside it: the rest of the turn then belongs to the context. Words that do not stand in the turn leave
        nothing to compare by meaning, and the whole turn is the context.
        """
        position = next((i for i in range(len(messages) - 1, -1, -1) if messages[i].role == "user"), None)
        words, frame = ("", "") if position is None else _split(messages[position].text, query)
        turns: list[JSON] = [
            turn.canonical(frame if index == position else None) for index, turn in enumerate(messages)
        ]
        given = {} if params is None else dict(params)
        temperature = given.get("temperature")
        return cls(
            query=words,
            scope=Scope() if scope is None else scope,
            context=canonical({"turns": turns, "model": model, "params": given}),
            system=fold("\n".join(turn.text for turn in messages if turn.role in ("system", "developer"))),
            tags=checked_tags(tags),
            ttl=checked_ttl(ttl),
            model=model,
            temperature=float(temperature) if isinstance(temperature, int | float) else None,
            has_attachments=any(turn.blocks for turn in messages),
            ends_with_user=bool(messages) and position == len(messages) - 1,
            bypass=bypass,
        )

    def within(self, scope: Scope) -> Request:
        """Return the same request in another scope."""
        return replace(self, scope=scope)


@lru_cache(maxsize=256)
def _frame(system: str, model: str | None) -> tuple[str, str]:
    """Return context and folded system prompt of a single question: the same for every question of an application."""
    head = [Message("system", system)] if system else []
    template = Request.from_messages([*head, Message("user")], model=model)
    return template.context, template.system


def _message(turn: Mapping[str, str]) -> Message:
    unknown = turn.keys() - {"role", "content", "name"}
    if unknown or "role" not in turn:
        raise ConfigError(f"a history turn takes role, content and name; this one has {sorted(turn)}")
    return Message(turn["role"], turn.get("content", ""), turn.get("name"))


def _split(text: str, query: str | None) -> tuple[str, str]:
    """Part a user turn into the words to compare and the frame round them."""
    if query is None:
        return text, SLOT
    if not query or query not in text:
        return "", fold(text)
    before, after = text.split(query, 1)
    return query, f"{before}{SLOT}{after}"


class Digests:
    """Names requests by keyed BLAKE2 digests over length-prefixed parts.

    The key is one per fleet, so that whoever reads a store cannot test guesses of prompts or tenants against it.
    """

    __slots__ = ("_key", "_place", "_strip")

    def __init__(self, key: bytes, strip: Iterable[str] = ()) -> None:
        unknown = sorted(set(strip) - VOLATILE.keys())
        if unknown:
            raise ConfigError(f"strip: {unknown} are no volatile-token rules; known are {sorted(VOLATILE)}")
        self._key = key
        self._strip = tuple((VOLATILE[name], f"<{name}>") for name in strip)
        # Requests of one application share their system prompt and, in single questions, all of their context.
        self._place = lru_cache(maxsize=256)(self._shard_and_partition)

    def address(self, request: Request, words: str | None = None) -> Address:
        """Return the digests of a request: shard, partition and exact key. `words` spares folding them again."""
        compared = self.words(request) if words is None else words
        place = self._place if len(request.context) <= _LONG else self._shard_and_partition
        shard, partition = place(request.scope, request.system, request.context)
        return Address(shard, partition, self._digest("exact", partition, compared))

    def words(self, request: Request) -> str:
        """Return the query as it is compared: folded, without the volatile tokens that the rules name."""
        return self.stable(fold(request.query))

    def labels(self, request: Request, entry_id: str, documents: Iterable[str] = ()) -> frozenset[str]:
        """Return the digests of everything that can invalidate an answer to this request, made from these documents."""
        scope = request.scope
        named = {"tenant": scope.tenant, "namespace": scope.namespace, "user": scope.user, "entry": entry_id}
        several = {"tag": request.tags, "corpus": request.corpora, "document": documents}
        labels = [self.label(kind, value) for kind, values in several.items() for value in values]
        return frozenset((*labels, *(self.label(kind, value) for kind, value in named.items() if value is not None)))

    def label(self, kind: str, value: str) -> str:
        """Return the digest of one invalidation label, such as ("tenant", "acme")."""
        return self._digest("label", kind, value)

    def stable(self, text: str) -> str:
        """Return a text with its volatile tokens replaced by the names of their rules."""
        for pattern, name in self._strip:
            text = pattern.sub(name, text)
        return text

    def _shard_and_partition(self, scope: Scope, system: str, context: str) -> tuple[str, str]:
        who = canonical([scope.tenant, scope.namespace, scope.user])
        return (
            self._digest("shard", who, self.stable(system)),
            self._digest("partition", who, self.stable(context)),
        )

    def _digest(self, *parts: str) -> str:
        encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
        message = b"".join([b"%d:%b" % (len(raw), raw) for raw in encoded])
        return blake2b(message, digest_size=16, key=self._key, person=b"semroute").hexdigest()
