from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Callable
from typing import TypeAlias

import pytest

pytest.register_assert_rewrite("semroute.testing")

InChild: TypeAlias = Callable[[Callable[[], None]], None]


def run_in_child(work: Callable[[], None]) -> None:
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        # Newer Pythons warn of a fork beside threads, which is what some of these tests are about.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            work()
            os.write(write_end, b"ok")
        except BaseException:
            os.write(write_end, traceback.format_exc().encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    assert said == "ok", said


@pytest.fixture
def in_child() -> InChild:
    """Run a check in a forked child, so that what it does to its process ends with it; its failure is the test's."""
    return run_in_child
