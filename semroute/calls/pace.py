"""Lookups that begin at once, spread over several turns of the event loop."""

from __future__ import annotations

import asyncio
import time
from weakref import WeakKeyDictionary

_TURN_S = 0.001


class Pace:
    """Lets lookups compute for about a millisecond in one turn of a loop; those that are left go on in the next.

    A lookup computes for a fraction of a millisecond before it first waits. Fifty that begin in one turn, as
    `asyncio.gather` has them, would together keep everything else on the loop waiting.
    """

    def __init__(self) -> None:
        self._began: WeakKeyDictionary[asyncio.AbstractEventLoop, float] = WeakKeyDictionary()

    async def turn(self) -> None:
        """Return at once, or in a later turn of the loop when this one has computed enough."""
        loop = asyncio.get_running_loop()
        while (began := self._began.get(loop)) is not None and time.perf_counter() - began > _TURN_S:  # noqa: ASYNC110  # a turn of the loop is what it waits for
            await asyncio.sleep(0)
        if began is None:
            self._began[loop] = time.perf_counter()
            loop.call_soon(self._began.pop, loop, None)
