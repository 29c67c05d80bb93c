"""The conformance suite of stores: leases of keys, which say who of many calls the model."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from semroute.stores import Claim, Lease
from semroute.testing.entries import make_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY, OTHER_KEY = make_address("q"), make_address("another")
LONG_S, SHORT_S = 60.0, 0.02


class LeaseSuite:
    """The capability Lease."""

    @pytest.fixture
    def lender(self) -> Iterator[Lease]:
        raise NotImplementedError("override `lender` with a store that has lent nothing")

    @pytest.fixture
    def let_pass(self) -> Callable[[float], None]:
        """Return what lets time go by, for leases: it goes by itself here."""

        def wait(seconds: float) -> None:
            threading.Event().wait(seconds)

        return wait

    def test_it_has_the_capability(self, lender: Lease) -> None:
        assert isinstance(lender, Lease)

    def test_one_of_two_gets_a_lease_and_the_other_when_it_is_released(self, lender: Lease) -> None:
        assert lender.acquire(KEY, "a", ttl_s=LONG_S) is Claim.OURS
        assert lender.acquire(KEY, "b", ttl_s=LONG_S) is Claim.THEIRS
        assert lender.release(KEY, "a") is True
        assert lender.acquire(KEY, "b", ttl_s=LONG_S) is Claim.OURS
        assert lender.acquire(KEY, "a", ttl_s=LONG_S) is Claim.THEIRS

    def test_asking_again_with_the_same_token_changes_nothing(self, lender: Lease) -> None:
        assert [lender.acquire(KEY, "a", ttl_s=LONG_S) for _ in range(3)] == [Claim.OURS] * 3
        assert lender.acquire(KEY, "b", ttl_s=LONG_S) is Claim.THEIRS

    def test_keys_are_lent_apart(self, lender: Lease) -> None:
        assert lender.acquire(KEY, "a", ttl_s=LONG_S) is Claim.OURS
        assert lender.acquire(OTHER_KEY, "b", ttl_s=LONG_S) is Claim.OURS

    def test_only_the_holder_renews_and_releases(self, lender: Lease) -> None:
        assert lender.renew(KEY, "a", ttl_s=LONG_S) is False
        assert lender.release(KEY, "a") is False
        lender.acquire(KEY, "a", ttl_s=LONG_S)
        assert lender.renew(KEY, "b", ttl_s=LONG_S) is False
        assert lender.release(KEY, "b") is False
        assert lender.release(KEY, "b", declined_s=LONG_S) is False
        assert lender.renew(KEY, "a", ttl_s=LONG_S) is True
        assert lender.acquire(KEY, "b", ttl_s=LONG_S) is Claim.THEIRS

    def test_one_that_was_declined_tells_everybody_so_for_a_while(
        self, lender: Lease, let_pass: Callable[[float], None]
    ) -> None:
        lender.acquire(KEY, "a", ttl_s=LONG_S)
        assert lender.release(KEY, "a", declined_s=0.5) is True
        assert lender.acquire(KEY, "b", ttl_s=LONG_S) is Claim.DECLINED
        assert lender.acquire(KEY, "a", ttl_s=LONG_S) is Claim.DECLINED
        assert lender.renew(KEY, "a", ttl_s=LONG_S) is False
        let_pass(0.6)
        assert lender.acquire(KEY, "b", ttl_s=LONG_S) is Claim.OURS

    def test_a_lease_ends_by_itself(self, lender: Lease, let_pass: Callable[[float], None]) -> None:
        lender.acquire(KEY, "a", ttl_s=SHORT_S)
        let_pass(2 * SHORT_S)
        assert lender.renew(KEY, "a", ttl_s=LONG_S) is False
        assert lender.acquire(KEY, "b", ttl_s=LONG_S) is Claim.OURS
        assert lender.release(KEY, "a") is False

    def test_renewing_makes_it_last(self, lender: Lease, let_pass: Callable[[float], None]) -> None:
        lender.acquire(KEY, "a", ttl_s=1.0)
        assert lender.renew(KEY, "a", ttl_s=LONG_S) is True
        let_pass(1.1)
        assert lender.acquire(KEY, "b", ttl_s=LONG_S) is Claim.THEIRS

    def test_of_many_that_ask_at_once_one_gets_it(self, lender: Lease) -> None:
        with ThreadPoolExecutor(16) as pool:
            claims = list(pool.map(lambda number: lender.acquire(KEY, f"t{number}", ttl_s=LONG_S), range(64)))
        assert sorted(claims) == [Claim.OURS] + [Claim.THEIRS] * 63

    async def test_both_faces_lend_the_same_keys(self, lender: Lease) -> None:
        assert await lender.aacquire(KEY, "a", ttl_s=LONG_S) is Claim.OURS
        assert lender.acquire(KEY, "b", ttl_s=LONG_S) is Claim.THEIRS
        assert await lender.aacquire(KEY, "b", ttl_s=LONG_S) is Claim.THEIRS
        assert await lender.arenew(KEY, "a", ttl_s=LONG_S) is True
        assert await lender.arelease(KEY, "b") is False
        assert await lender.arelease(KEY, "a", declined_s=LONG_S) is True
        assert await lender.aacquire(KEY, "b", ttl_s=LONG_S) is Claim.DECLINED
