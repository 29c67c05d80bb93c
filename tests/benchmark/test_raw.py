"""The raw operations that lookups are compared with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from semroute.benchmark.raw import RawTable, raw_search


@pytest.mark.parametrize("is_file", [True, False])
def test_the_table_gives_back_what_was_put_in(tmp_path: Path, is_file: bool) -> None:
    table = RawTable(tmp_path / "raw.db" if is_file else None)
    table.fill([("a", "first"), ("b", "second")])
    assert (table.get("a"), table.get("b"), table.get("c")) == ("first", "second", None)
    table.close()


def test_the_search_finds_the_largest_products() -> None:
    matrix = np.eye(6, dtype=np.float32)
    vector = np.array([0.1, 0.9, 0.2, 0.8, 0.3, 0.7], np.float32)
    assert set(raw_search(matrix, vector, 3).tolist()) == {1, 3, 5}
