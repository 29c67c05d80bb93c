from __future__ import annotations

from pathlib import Path

import pytest

from semroute.entry import Answer
from semroute.review.log import ShadowLog

from .records import make_record


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "shadow.db"


@pytest.fixture
def log(path: Path) -> ShadowLog:
    """A log with forty questions, half of them over their threshold, each with both answers."""
    log = ShadowLog(path)
    for number in range(40):
        similarity = 0.75 + number / 200
        log.add(
            [
                make_record(
                    number,
                    similarity=similarity,
                    would_serve=similarity >= 0.85,
                    stored_answer=Answer(f"stored {number}"),
                    real_answer=Answer(f"real {number}"),
                )
            ]
        )
    log.close()
    return log
