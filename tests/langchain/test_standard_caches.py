"""LangChain's own suites for caches."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from langchain_semroute import SemrouteCache
from langchain_tests.integration_tests import AsyncCacheTestSuite, SyncCacheTestSuite

from semroute import SemanticCache


class TestSemrouteCache(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, make_cache: Callable[..., SemanticCache]) -> SemrouteCache:
        return SemrouteCache(cache=make_cache())


class TestSemrouteCacheAsync(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self, make_cache: Callable[..., SemanticCache]) -> SemrouteCache:
        return SemrouteCache(cache=make_cache())
