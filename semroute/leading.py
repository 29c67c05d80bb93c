"""Single flight between processes: of those that miss one key at once, one leads and has the model answer it.

The leader holds a lease of the key in the store, renewed while the model works. The others wait, with a deadline, and
take what the exact tier then holds, so that they take admitted answers only. A follower whose leader has died leads
in its place; one whose leader got no answer that others may have calls for itself, and so does everybody when the
deadline has passed or the store lends nothing. So nobody waits for ever, and what fails costs a call of the model.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from semroute import flow
from semroute.background import Writer
from semroute.driver import adrive, drive
from semroute.steps import Acquire, Get, Pause, StepFailed, WaitingStep
from semroute.stores import Claim, Lease

if TYPE_CHECKING:
    from semroute.config import Settings
    from semroute.driver import Driver
    from semroute.entry import Address, Found
    from semroute.request import Request
    from semroute.result import Hit
    from semroute.rules import Rules
    from semroute.stores import Store

LEASE_S: Final = 5.0
"""How long followers wait for a leader that has died, at the most."""
RENEW_EVERY_S: Final = 1.5
_DECLINED_S: Final = 2.0
"""So long whoever asks is told that there is nothing to wait for: several times as long as followers pause."""
_PAUSE_S: Final = (0.01, 0.2)
_RELEASES_WAITING: Final = 1_024


def leading_of(store: Store, driver: Driver, settings: Settings, now: Callable[[], float]) -> Leading | None:
    """Return the leads of a cache; None where its store lends nothing, or its followers are not to wait."""
    deadline_s = settings.flight_deadline_s
    return Leading(store, driver, deadline_s=deadline_s, now=now) if isinstance(store, Lease) and deadline_s else None


class Lead:
    """The lease of a key that this process holds. Whoever leads must end it by `land`, whatever happens."""

    def __init__(self, leading: Leading, address: Address, token: str, ends_at_s: float) -> None:
        self.address = address
        self.token = token
        self.ends_at_s = ends_at_s
        """When it is renewed no more: a leader that nobody reads must not hold up others for ever."""
        self._leading = leading

    def __repr__(self) -> str:
        return f"<Lead of {self.address.exact}>"

    def land(self, *, is_answered: bool) -> None:
        """End it soon, on another thread; where the store holds no answer now, followers call for themselves."""
        self._leading.end(self, declined_s=0.0 if is_answered else _DECLINED_S)

    def land_as_stored(self) -> None:
        """End it behind a queued update, which has or has not stored an answer by now."""
        self.land(is_answered=self._leading.is_answered(self.address))


class Leading:
    """The leads of this process, and the way to get one."""

    def __init__(
        self,
        lender: Lease,
        driver: Driver,
        *,
        deadline_s: float,
        now: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
        new_token: Callable[[], str] = lambda: secrets.token_hex(8),
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._lender = lender
        self._driver = driver
        self._deadline_s = deadline_s
        self._now = now
        self._clock = clock
        self._new_token = new_token
        self._jitter = jitter
        self._releases = Writer(_RELEASES_WAITING)
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._held: dict[str, Lead] = {}
        self._renewing: threading.Thread | None = None
        self._closed = threading.Event()

    def __len__(self) -> int:
        return len(self._held)

    def lead(self, request: Request, words: str, address: Address, rules: Rules) -> Hit | Lead | None:
        """Get the lead of a key, or another process's answer; None means: call the model and tell nobody."""
        token = self._new_token()
        try:
            return self._got(address, token, drive(self._waiting(request, words, address, token, rules), self._perform))
        except BaseException:  # an interrupt too: the lease may be ours already
            self._release(address, token, 0.0)
            raise

    async def alead(self, request: Request, words: str, address: Address, rules: Rules) -> Hit | Lead | None:
        """Do what `lead` does, without ever blocking the event loop."""
        token = self._new_token()
        try:
            steps = self._waiting(request, words, address, token, rules)
            return self._got(address, token, await adrive(steps, self._aperform))
        except BaseException:  # a cancellation too: the lease may be ours already
            self._release(address, token, 0.0)
            raise

    def is_answered(self, address: Address) -> bool:
        """Say whether the store holds an answer now."""
        try:
            found: Found = self._driver.perform(Get(address))
        except StepFailed:
            return False
        return found.entry is not None

    def renew_all(self) -> None:
        """Renew what is held; a lead that has lasted too long, or that another has taken over, is let go."""
        for lead in list(self._held.values()):
            if self._clock() >= lead.ends_at_s or not self._renewed(lead):
                self._held.pop(lead.token, None)

    def end(self, lead: Lead, *, declined_s: float) -> None:
        """Let go of a lead, and tell the store soon."""
        self._held.pop(lead.token, None)
        self._release(lead.address, lead.token, declined_s)

    def close(self) -> None:
        """Tell the store of all that has ended, and let the threads go; a later lead starts new ones."""
        self._closed.set()
        self._releases.close()

    def _waiting(
        self, request: Request, words: str, address: Address, token: str, rules: Rules
    ) -> Generator[WaitingStep, Any, Hit | Claim]:
        """Ask for the lease until it is ours, an answer is there, or waiting is of no use."""
        ends_at_s, (pause_s, longest_s) = self._clock() + self._deadline_s, _PAUSE_S
        while True:
            try:
                claim: Claim = yield Acquire(address, token)
            except StepFailed:
                return Claim.DECLINED
            if claim is Claim.DECLINED:
                return claim
            # For the holder of the lease too: the one before may have answered since this one looked.
            hit = yield from flow.answered(request, words, address, rules, self._now())
            if hit is not None:
                if claim is Claim.OURS:
                    self._release(address, token, 0.0)
                return hit
            left_s = ends_at_s - self._clock()
            if claim is Claim.OURS or left_s <= 0.0:
                return claim
            yield Pause(min(pause_s * (0.75 + self._jitter() / 2), left_s))
            pause_s = min(1.5 * pause_s, longest_s)

    def _got(self, address: Address, token: str, outcome: Hit | Claim) -> Hit | Lead | None:
        if not isinstance(outcome, Claim):
            return outcome
        if outcome is not Claim.OURS:
            return None
        lead = Lead(self, address, token, self._clock() + self._deadline_s)
        if self._pid != os.getpid():  # a forked child renews nothing that its parent holds
            self._start_afresh()
        with self._lock:
            self._held[token] = lead
            if self._renewing is None:
                self._closed.clear()
                self._renewing = threading.Thread(target=self._renew, name="semroute-lease", daemon=True)
                self._renewing.start()
        return lead

    def _renew(self) -> None:
        while True:
            is_closed = self._closed.wait(RENEW_EVERY_S)
            if not is_closed:
                self.renew_all()
            with self._lock:
                if is_closed or not self._held:
                    self._renewing = None
                    return

    def _renewed(self, lead: Lead) -> bool:
        try:
            return self._driver.guarded("lease", lambda: self._lender.renew(lead.address, lead.token, ttl_s=LEASE_S))
        except StepFailed:
            return True  # perhaps next time

    def _release(self, address: Address, token: str, declined_s: float) -> None:
        def release() -> None:
            with suppress(StepFailed):  # it ends by itself
                self._driver.guarded("lease", lambda: self._lender.release(address, token, declined_s=declined_s))

        self._releases.submit(release)

    def _perform(self, step: WaitingStep) -> Any:
        match step:
            case Acquire(address, token):
                return self._driver.guarded("lease", lambda: self._lender.acquire(address, token, ttl_s=LEASE_S))
            case Pause(seconds):
                time.sleep(seconds)
                return None
            case _:
                return self._driver.perform(step)

    async def _aperform(self, step: WaitingStep) -> Any:
        match step:
            case Acquire(address, token):
                return await self._driver.aguarded(
                    "lease", lambda: self._lender.aacquire(address, token, ttl_s=LEASE_S)
                )
            case Pause(seconds):
                await asyncio.sleep(seconds)
                return None
            case _:
                return await self._driver.aperform(step)
