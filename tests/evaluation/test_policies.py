"""Naming a policy on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from semroute.cache import SemanticCache
from semroute.config import Settings
from semroute.errors import ConfigError
from semroute.evaluation.policies import read_policy
from semroute.gate import Policy


def test_without_a_name_it_is_the_policy_as_shipped() -> None:
    assert read_policy(None) == Policy()


@pytest.mark.parametrize("threshold", [0.0, 0.6, 0.9, 0.97, 1.0])
def test_a_number_is_the_policy_that_a_cache_makes_of_the_setting(threshold: float) -> None:
    cache = SemanticCache("memory://", settings=Settings(threshold=threshold))
    assert read_policy(str(threshold)) == cache.rules.policy


def test_a_file_names_fields_and_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "support.json"
    path.write_text(json.dumps({"threshold": 0.93}))
    assert read_policy(str(path)) == Policy(version="support", threshold=0.93)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"treshold": 0.9}', "unknown fields"),
        ('{"threshold": 7}', "threshold must be a number"),
        ("[0.9]", "must hold a JSON object"),
        ("{", "neither a number nor a JSON file"),
    ],
)
def test_a_file_that_is_no_policy_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "p.json").write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_policy(str(tmp_path / "p.json"))


@pytest.mark.parametrize("named", ["1.5", "-0.1", "nan", "missing.json"])
def test_a_threshold_out_of_range_and_a_file_that_is_not_there_are_refused(named: str) -> None:
    with pytest.raises(ConfigError):
        read_policy(named)
