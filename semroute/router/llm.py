"""The router that asks a model: one structured reply behind a deadline and a breaker, or else rules."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar, runtime_checkable

from semroute.binding import Binding, rebound
from semroute.breaker import Breaker, State, logged
from semroute.deadline import Deadline, Remembered, Unanswered
from semroute.errors import ConfigError, DeadlineExceeded, SemrouteError
from semroute.request import content_digest
from semroute.router import Router, WaitingRouter
from semroute.router._prompt import Orders, repair_message, shown, system_prompt, user_message
from semroute.router.catalog import ModelCatalog
from semroute.router.choice import STRONG_BELOW
from semroute.router.decision import RoutingDecision
from semroute.router.rules import RuleRouter
from semroute.router.schema import InvalidReply, decision_schema, one_line, read_reply, to_decision

if TYPE_CHECKING:
    from pydantic import BaseModel

    from semroute.entry import FloatVector
    from semroute.request import Request

T = TypeVar("T")
logger = logging.getLogger("semroute.router")

MOST_CONFIDENCE: Final = 0.9
"""What a model says of its own sureness is not calibrated: no more than this is believed."""
FALLBACK_CONFIDENCE: Final = STRONG_BELOW
"""Of a decision that stands in for the model's: the gate is strict, and the model is still chosen by complexity."""
_NONSENSE_TO_OPEN: Final = 10
_NONSENSE_COOLDOWN_S: Final = 60.0
_MAX_REASON_CHARS: Final = 240


class Refused(SemrouteError):
    """A model will not say anything about a request. An `Ask` raises it, and is not asked a second time."""


class Ask(Protocol):
    """Puts a system prompt and a user's turn to a model, and returns what it says in the form of a schema.

    That is an object of the schema, a mapping, or text; it need not be valid. It is called on worker threads, outside
    of every context of the caller: no callbacks, traces or scope reach it, and caches of ours let it pass. Whatever
    it raises stands for a model that is down, except `Refused`.
    """

    def __call__(self, system: str, user: str, schema: type[BaseModel], /) -> object: ...


@runtime_checkable
class WaitingAsk(Protocol):
    """An `Ask` that can also wait on an event loop without blocking it; it is called in a task of its own."""

    async def aask(self, system: str, user: str, schema: type[BaseModel], /) -> object: ...


@dataclass(frozen=True, slots=True)
class _Nothing:
    """What came of asking a model that answered, and whose answer is of no use."""

    why: str
    is_refusal: bool = False


_Outcome: TypeAlias = RoutingDecision | _Nothing


class LLMRouter:
    """Decides by asking a model for one structured reply; every failure of the model ends in the fallback's decision.

    The schema is made from the catalogue (`semroute.router.schema`), and a reply that does not fit it is told what is
    wrong and asked for once more, within the same `deadline_s`. After that, after a refusal, and while the breaker
    leaves a failing model alone, `fallback` decides (word lists, unless another is given): with origin "fallback",
    the reason, and a confidence of at most 0.5, so that the gate is strict.

    A request cannot talk its way past this. It is put to the model as data and cannot change schema or catalogue; one
    that gives orders to the router is not put to it at all; what a model says of its confidence counts for at most
    `most_confidence`. And whatever is decided, `aggressive` lowers a threshold by one step and never under the
    policy's floor, guards and verifier still look at every candidate, and cacheability and freshness are judged by
    rules too, of which the stricter answer wins: obeying a hidden order can cost a dearer model, and not a wrong hit.

    The latest `remember` decisions are kept by the digest of the text; a failure is not. Give the model a timeout of
    its own: a sync call that was given up lives on in its thread until then. Raises ConfigError for parts that cannot
    be, and nothing for what a model does; what a fallback of your own raises goes through.
    """

    def __init__(
        self,
        ask: Ask,
        catalog: ModelCatalog,
        *,
        deadline_s: float = 3.0,
        fallback: Router | None = None,
        most_confidence: float = MOST_CONFIDENCE,
        remember: int = 1_000,
        threads: int = 8,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        _check_parts(ask, catalog, fallback, most_confidence)
        self._ask = ask
        self._catalog = catalog
        self._schema = decision_schema(catalog)
        self._system = system_prompt(catalog)
        self._orders = Orders(catalog)
        self._fallback: Router = RuleRouter() if fallback is None else fallback
        self._most_confidence = most_confidence
        self._clock = clock
        self._seconds = deadline_s
        self._patience = _Patience("router's model", deadline_s, threads, clock)
        self._sense = Breaker(
            "router's model",
            _log_nonsense,
            failures_to_open=_NONSENSE_TO_OPEN,
            cooldown_s=_NONSENSE_COOLDOWN_S,
            clock=clock,
        )
        self._decided: Remembered[RoutingDecision] = Remembered(remember)

    def __repr__(self) -> str:
        return f"<LLMRouter of {len(self._catalog)} models, {len(self._decided)} decisions remembered>"

    @property
    def name(self) -> str:
        return "llm"

    @property
    def catalog(self) -> ModelCatalog:
        return self._catalog

    def route(self, request: Request, vector: FloatVector | None) -> RoutingDecision:
        """Ask the model about a request, and wait for it until the deadline."""
        try:
            text, known = self._question(request)
            if known is not None:
                return known
            ends_at = self._clock() + self._seconds
            return self._kept(text, self._patience.run(lambda: self._talk(text, ends_at)))
        except (Unanswered, DeadlineExceeded) as error:
            return _doubted(self._fallback.route(request, vector), self._fallback, error)

    async def aroute(self, request: Request, vector: FloatVector | None) -> RoutingDecision:
        """Do what `route` does, without ever blocking the event loop."""
        try:
            text, known = self._question(request)
            return known if known is not None else self._kept(text, await self._asked(text))
        except (Unanswered, DeadlineExceeded) as error:
            if isinstance(self._fallback, WaitingRouter):
                return _doubted(await self._fallback.aroute(request, vector), self._fallback, error)
            return _doubted(self._fallback.route(request, vector), self._fallback, error)

    def close(self) -> None:
        """Let the worker threads go; a later question starts new ones."""
        self._patience.close()

    def _question(self, request: Request) -> tuple[str, RoutingDecision | None]:
        """Return the text that a model sees, and what it decided about it before; raises Unanswered."""
        text = shown(request.query)
        if not text:
            raise Unanswered("the request has no text of a user")
        if self._orders.stand_in(text):
            raise Unanswered("the request gives orders to the router")
        known = self._decided.get(_key(text))
        if known is None and not self._sense.allows():
            raise Unanswered(f"the router's model is left alone, it talks nonsense: {self._sense.reason}")
        return text, known

    async def _asked(self, text: str) -> _Outcome:
        ends_at = self._clock() + self._seconds
        if isinstance(self._ask, WaitingAsk):
            ask = self._ask
            return await self._patience.awaited(lambda: self._atalk(ask, text, ends_at))
        return await self._patience.arun(lambda: self._talk(text, ends_at))

    def _talk(self, text: str, ends_at: float) -> _Outcome:
        """Have the whole conversation with the model; on a thread, which knows no context of the caller's."""
        return Context().run(self._talk_apart, text, ends_at)

    def _talk_apart(self, text: str, ends_at: float) -> _Outcome:
        # Nor is the model's call answered out of a cache that asks this router.
        with rebound(Binding(bypass=True)):
            turns = self._conversation(text, ends_at)
            message = next(turns)
            while True:
                try:
                    said = self._ask(self._system, message, self._schema)
                except Refused as refusal:
                    return _Nothing(f"the model refuses: {refusal}", is_refusal=True)
                except StopIteration as error:  # a future that is awaited cannot carry it, and would never end
                    raise RuntimeError(repr(error)) from error
                try:
                    message = turns.send(said)
                except StopIteration as end:
                    return _outcome(end)

    async def _atalk(self, ask: WaitingAsk, text: str, ends_at: float) -> _Outcome:
        """Do what `_talk` does, as a task that was begun in an empty context."""
        with rebound(Binding(bypass=True)):
            turns = self._conversation(text, ends_at)
            message = next(turns)
            while True:
                try:
                    said = await ask.aask(self._system, message, self._schema)
                except Refused as refusal:
                    return _Nothing(f"the model refuses: {refusal}", is_refusal=True)
                try:
                    message = turns.send(said)
                except StopIteration as end:
                    return _outcome(end)

    def _conversation(self, text: str, ends_at: float) -> Generator[str, object, _Outcome]:
        """Yield the user's turns, take what the model says to each, and return what came of it."""
        said = yield user_message(text)
        try:
            return self._read(said)
        except InvalidReply as problem:
            if self._clock() >= ends_at:  # nobody waits any more: a second call would be paid for nothing
                return _Nothing(f"no time for a second reply: {problem}")
            said = yield repair_message(text, str(problem))
        try:
            return self._read(said)
        except InvalidReply as problem:
            return _Nothing(f"the model's reply is invalid: {problem}")

    def _read(self, said: object) -> RoutingDecision:
        return to_decision(read_reply(said, self._schema), most_confidence=self._most_confidence)

    def _kept(self, text: str, outcome: _Outcome) -> RoutingDecision:
        """Remember a decision and return it; raises Unanswered where there is none."""
        if isinstance(outcome, _Nothing):
            if not outcome.is_refusal:
                self._sense.failed(outcome.why)
            raise Unanswered(outcome.why)
        self._sense.succeeded()
        self._decided.put(_key(text), outcome)
        return outcome


class _Patience(Deadline):
    """A deadline that also waits for what runs on an event loop, and logs as part of the router."""

    def __init__(self, part: str, seconds: float, threads: int, clock: Callable[[], float]) -> None:
        super().__init__(part, seconds, threads=threads)
        self._breaker = Breaker(part, logged(logger), clock=clock)

    async def awaited(self, act: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine as a task in an empty context, and wait for it until the deadline.

        The task's own errors and cancellations are never the caller's, and one that will not be cancelled is left
        behind. Raises Unanswered or DeadlineExceeded.
        """
        if not self._breaker.allows():
            raise Unanswered(f"the {self._part} is left alone after failures: {self._breaker.reason}")
        task = asyncio.create_task(act(), context=Context())
        try:
            await asyncio.wait((task,), timeout=self._seconds)
        finally:
            is_late = not task.done()
            task.cancel()
        if is_late:
            task.add_done_callback(_let_go)
            raise self._late()
        if task.cancelled():
            raise self._failed(asyncio.CancelledError("it gave up by itself"))
        error = task.exception()
        if error is not None:
            raise self._failed(error) from error
        self._breaker.succeeded()
        return task.result()


def _check_parts(ask: object, catalog: object, fallback: object, most_confidence: object) -> None:
    if not callable(ask) or inspect.iscoroutinefunction(ask):
        raise ConfigError(
            "ask must be a function (system, user, schema) -> reply, with an `aask` beside it where it can be awaited, "
            f"not {type(ask).__name__}: wrap a LangChain model, StructuredModel(model)"
        )
    if not isinstance(catalog, ModelCatalog):
        raise ConfigError(f"catalog must be a ModelCatalog, such as ModelCatalog.of(...), not {catalog!r}")
    if fallback is not None and not isinstance(fallback, Router):
        raise ConfigError(f"fallback must be a router, not {fallback!r}")
    is_number = isinstance(most_confidence, int | float) and not isinstance(most_confidence, bool)
    # A comparison with NaN is false, so NaN is refused too.
    if not (is_number and 0.0 <= most_confidence <= 1.0):  # type: ignore[operator]  # narrowed by is_number
        raise ConfigError(f"most_confidence must be a number in [0, 1], not {most_confidence!r}")


def _key(text: str) -> tuple[str]:
    return (content_digest(text),)


def _outcome(end: StopIteration) -> _Outcome:
    outcome: _Outcome = end.value
    return outcome


def _doubted(decision: RoutingDecision, fallback: Router, why: Exception) -> RoutingDecision:
    """Return the fallback's decision as what it is: one that stands in for another, and is not to be relied on."""
    reason = one_line(f"{why}; decided by {fallback.name} instead", _MAX_REASON_CHARS)
    confidence = min(decision.confidence, FALLBACK_CONFIDENCE)
    return decision.model_copy(update={"origin": "fallback", "confidence": confidence, "reason": reason})


def _let_go(task: asyncio.Task[Any]) -> None:
    """Take the error of a task that nobody waits for, so that the loop does not complain about it."""
    if not task.cancelled():
        task.exception()


def _log_nonsense(part: str, state: State, reason: str) -> None:
    match state:
        case "open":
            logger.warning("the %s answers, but with nothing of use, and is left alone for a while: %s", part, reason)
        case "closed":
            logger.info("the %s makes sense again", part)
        case "half_open":
            logger.debug("the %s is tried again", part)
