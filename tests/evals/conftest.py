from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .sets import write_sets

# The evaluations are no part of the installed package: they lie beside the tests.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with a few rows of every set."""
    return write_sets(tmp_path / "data")
