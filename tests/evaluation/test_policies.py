"""Policies by name and in files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from semroute.cache import SemanticCache
from semroute.config import Settings
from semroute.errors import ConfigError
from semroute.evaluation.policies import read_policy
from semroute.gate import Policy
from semroute.policy import Cell, Point, Promise
from semroute.policy_file import check_parts, named_by_content, write_policy

TUNED = Policy(
    version="desk-1a2b",
    cells=(Cell("standard", True, 0.7, 0.93, requires_guards=False), Cell("standard", False, 0.7, 0.97)),
    stricter=(Point((Cell("standard", True, 1.0, 1.0),), 0.01, 0.0),),
    embedder="model@1",
    verifier="digest@1",
    promise=Promise(0.01, 0.95, 0.0082, 0.21, 15_000, 20_000, "learn-then-test"),
)


def test_without_a_name_it_is_the_policy_as_shipped() -> None:
    assert read_policy(None) == Policy()


@pytest.mark.parametrize("threshold", [0.0, 0.6, 0.9, 0.97, 1.0])
def test_a_number_is_the_policy_that_a_cache_makes_of_the_setting(threshold: float) -> None:
    cache = SemanticCache("memory://", settings=Settings(threshold=threshold))
    assert read_policy(str(threshold)) == cache.rules.policy


def test_a_plain_file_names_fields_and_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "support.json"
    path.write_text(json.dumps({"threshold": 0.93}))
    assert read_policy(str(path)) == Policy(version="support", threshold=0.93)


@pytest.mark.parametrize("policy", [TUNED, Policy(), Policy.fixed(0.9)], ids=lambda policy: policy.version)
def test_a_policy_that_is_written_is_read_again_as_it_was(tmp_path: Path, policy: Policy) -> None:
    path = tmp_path / "policy.json"
    write_policy(policy, path)
    assert read_policy(str(path)) == policy
    assert json.loads(path.read_text())["format"] == 1


def test_writing_that_fails_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "policy.json"
    write_policy(Policy.fixed(0.9), path)

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(ConfigError, match="cannot be written: no space left"):
        write_policy(TUNED, path)
    assert read_policy(str(path)) == Policy.fixed(0.9)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "policy.json"
    write_policy(TUNED, path)
    assert read_policy(str(path)) == TUNED


def test_a_file_in_the_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_policy(TUNED, tmp_path / "taken" / "policy.json")
    assert (tmp_path / "taken").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"treshold": 0.9}', "unknown fields"),
        ('{"threshold": 7}', "threshold must be a number"),
        ('{"threshold": NaN}', "NaN is no number of JSON"),
        ('{"threshold": 1e999}', r"threshold must be a number in \[0, 1\]"),
        ("[0.9]", "must hold a JSON object"),
        ("{", "neither a number nor a JSON file"),
        ("\xff", "neither a number nor a JSON file"),
        ('{"version": 7}', "version must be a text"),
        ('{"version": " "}', "version must be a text"),
        ('{"embedder": 7}', "embedder must be a text"),
        ('{"verified_requires_guards": 1}', "verified_requires_guards must be true or false"),
        ('{"cells": {}}', "cells must be a list"),
        ('{"cells": [7]}', "a cell must be a JSON object"),
        ('{"cells": [{"strategy": "standard"}]}', "a cell lacks fields"),
        ('{"promise": {"max_error": 0.1}}', "promise lacks fields"),
        ('{"format": 0}', "format must be a whole number"),
        ('{"format": true}', "format must be a whole number"),
        ('{"format": "1"}', "format must be a whole number"),
        ('{"format": 2, "thresholds": []}', "format 2, and this version reads up to 1: upgrade semroute-cache"),
    ],
)
def test_a_file_that_is_no_policy_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(ConfigError, match=message) as refused:
        read_policy(str(path))
    assert "p.json" in str(refused.value)


def changed(table: dict[str, Any], *keys: str | int, value: object) -> dict[str, Any]:
    """Return the table with one value, deep inside, set to another one."""
    part: Any = table
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    return table


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("cells", 0, "threshold"), 1.2, r"threshold must be a number in \[0, 1\]"),
        (("cells", 0, "min_p_reusable"), "0.9", r"min_p_reusable must be a number in \[0, 1\]"),
        (("cells", 0, "strategy"), "bypass", "strategy of a cell must be one of"),
        (("cells", 0, "is_sure"), None, "is_sure must be true or false"),
        (("cells", 0, "is_sure"), False, "twice"),
        (("cells", 0, "colour"), "red", "a cell has unknown fields"),
        (("stricter", 0, "cells", 0, "threshold"), -1, r"threshold must be a number in \[0, 1\]"),
        (("stricter", 0, "error_rate"), None, r"error_rate must be a number in \[0, 1\]"),
        (("promise", "n"), 0, "n must be a whole number of at least 1"),
        (("promise", "requests"), 1.5, "requests must be a whole number of at least 1"),
        (("promise", "method"), None, "method must be a text"),
        (("promise", "confidence"), 95, r"confidence must be a number in \[0, 1\]"),
    ],
)
def test_a_tuned_file_with_one_wrong_value_is_refused(
    tmp_path: Path, keys: tuple[str | int, ...], value: object, message: str
) -> None:
    path = tmp_path / "p.json"
    write_policy(TUNED, path)
    path.write_text(json.dumps(changed(json.loads(path.read_text()), *keys, value=value)))
    with pytest.raises(ConfigError, match=message):
        read_policy(str(path))


@pytest.mark.parametrize("named", ["1.5", "-0.1", "nan", "missing.json"])
def test_a_threshold_out_of_range_and_a_file_that_is_not_there_are_refused(named: str) -> None:
    with pytest.raises(ConfigError):
        read_policy(named)


def test_a_policy_runs_with_the_parts_it_was_tuned_with_and_with_none_of_a_verifier() -> None:
    check_parts(TUNED, embedder="model@1", verifier="digest@1")
    check_parts(TUNED, embedder="model@1", verifier=None)
    check_parts(TUNED)
    check_parts(Policy(), embedder="any", verifier="any")


def test_a_policy_of_another_embedder_or_verifier_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"tuned with the embedder model@1, and this is model@2: .* tune again"):
        check_parts(TUNED, embedder="model@2")
    with pytest.raises(ConfigError, match=r"tuned with the verifier digest@1, and this is digest@2: .* tune again"):
        check_parts(TUNED, embedder="model@1", verifier="digest@2")


def test_a_version_by_content_is_the_same_for_the_same_numbers_only() -> None:
    one, other = named_by_content(TUNED, "desk"), named_by_content(Policy(threshold=0.9), "desk")
    assert named_by_content(one, "desk") == one
    assert one.version.startswith("desk-")
    assert one.version != other.version
