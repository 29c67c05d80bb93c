"""Settings: where they come from, and what they refuse."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from semroute import config
from semroute.config import Settings
from semroute.errors import ConfigError

RANGES = {
    "threshold": (0, 1, [-0.1, 1.1, math.nan, "0.9", True]),
    "replicas": (1, 64, [0, 65, -1, 1.5, None, True]),
    "candidates": (1, 100, [0, 101, -5, 2.5, None, True]),
    "write_queue": (1, 10_000_000, [0, -1, 1.5]),
    "embed_deadline_s": (0.001, 3600, [0, -1.0, math.inf, math.nan, "2"]),
    "flight_deadline_s": (0, 3600, [-0.5, 1e9, math.nan]),
    "canary": (0, 1, [-0.1, 1.5, math.nan]),
    "max_temperature": (0, 100, [-1, 101, math.nan]),
    "max_answer_bytes": (1, 1024**3, [0, -1, 2**40, 0.5]),
    "max_entries": (1, 10**12, [0, -3, 1.5, 10**13]),
    "max_bytes": (1, 10**15, [0, -3, math.inf]),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "semroute.toml"


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, (_, _, bad) in RANGES.items() for value in bad])
def test_a_number_out_of_range_is_refused_with_field_value_and_range(name: str, value: object) -> None:
    with pytest.raises(ConfigError) as refused:
        Settings(**{name: value})
    low, high, _ = RANGES[name]
    for part in (name, repr(value), f"between {low:g} and {high:g}"):
        assert part in str(refused.value)


@pytest.mark.parametrize("name", sorted(RANGES))
def test_the_ends_of_a_range_are_within_it(name: str) -> None:
    low, high, _ = RANGES[name]
    assert getattr(Settings(**{name: low}), name) == low
    assert getattr(Settings(**{name: high}), name) == high


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"write": "later"}, "write must be 'now' or 'background', not 'later'"),
        ({"mode": "watch"}, "mode must be 'serve' or 'shadow', not 'watch'"),
        ({"require_scope": "no"}, "require_scope must be true or false, not 'no'"),
        ({"require_scope": 1}, "require_scope must be true or false, not 1"),
        ({"verifier": 1}, "verifier must be true, false or the file of a verifier, not 1"),
        ({"verifier": ""}, "verifier must be true, false or the file of a verifier, not ''"),
        ({"strip": ("uuid", "dates")}, r"strip must be a tuple of names out of \[.*'uuid'\], not \('uuid', 'dates'\)"),
        ({"strip": "uuid"}, "strip must be a tuple of names"),
    ],
)
def test_any_other_setting_that_makes_no_sense_is_refused_with_what_would(named, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Settings(**named)


def test_every_number_among_the_settings_has_a_range() -> None:
    numbers = {field.name for field in fields(Settings) if "int" in str(field.type) or "float" in str(field.type)}
    assert numbers == RANGES.keys()


def test_arguments_win_over_the_environment_which_wins_over_the_file_which_wins_over_defaults(file: Path) -> None:
    file.write_text("candidates = 2\nmax_entries = 2\nwrite_queue = 2\n")
    environment = {"SEMROUTE_CANDIDATES": "3", "SEMROUTE_MAX_ENTRIES": "3"}
    settings = Settings.load({"candidates": 4}, environment=environment, file=file)
    assert (settings.candidates, settings.max_entries, settings.write_queue) == (4, 3, 2)
    assert settings.max_bytes == Settings().max_bytes


def test_every_kind_of_setting_can_come_from_the_environment() -> None:
    environment = {
        "SEMROUTE_STORE": "memory://",
        "SEMROUTE_THRESHOLD": "0.87",
        "SEMROUTE_WRITE": "background",
        "SEMROUTE_REQUIRE_SCOPE": "Yes",
        "SEMROUTE_STRIP": "uuid, timestamp",
        "SEMROUTE_EMBED_DEADLINE_S": "1",
    }
    settings = Settings.load(environment=environment)
    assert settings == Settings(
        store="memory://",
        threshold=0.87,
        write="background",
        require_scope=True,
        strip=("uuid", "timestamp"),
        embed_deadline_s=1.0,
    )


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("SEMROUTE_CANDIDATES", "five"),
        ("SEMROUTE_CANDIDATES", "2.5"),
        ("SEMROUTE_THRESHOLD", ""),
        ("SEMROUTE_REQUIRE_SCOPE", "perhaps"),
        ("SEMROUTE_VERIFIER", " "),
    ],
)
def test_a_value_of_the_environment_that_cannot_be_read_is_named_with_its_variable(variable: str, text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Settings.load(environment={variable: text})
    assert f"{variable}={text!r}" in str(refused.value)


def test_a_value_of_the_environment_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match="threshold must be a number between 0 and 1, not 7"):
        Settings.load(environment={"SEMROUTE_THRESHOLD": "7"})


def test_variables_that_other_parts_read_are_no_settings() -> None:
    assert Settings.load(environment={"SEMROUTE_MODEL_DIR": "/x", "SEMROUTE_CACHE_DIR": "/y"}) == Settings()


@pytest.mark.parametrize(
    ("text", "meant"), [("off", False), ("TRUE", True), ("mine/verifier.json", "mine/verifier.json")]
)
def test_the_verifier_may_be_switched_or_named_by_its_file(text: str, meant: bool | str, file: Path) -> None:
    assert Settings.load(environment={"SEMROUTE_VERIFIER": text}).verifier == meant
    file.write_text(f"verifier = {str(meant).lower() if isinstance(meant, bool) else repr(meant)}")
    assert Settings.load(environment={}, file=file).verifier == meant


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Return what is logged by somebody who has not warned of anything yet."""
    config._tell_of_stranger.cache_clear()
    caplog.set_level(logging.WARNING, "semroute")
    yield caplog
    config._tell_of_stranger.cache_clear()


def test_a_variable_that_is_none_of_ours_is_told_once_with_the_nearest_name(log: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        assert Settings.load(environment={"SEMROUTE_TRESHOLD": "0.9", "PATH": "/bin"}) == Settings()
    (record,) = log.records
    assert (record.name, record.levelname) == ("semroute", "WARNING")
    assert "SEMROUTE_TRESHOLD" in record.getMessage()
    assert "did you mean SEMROUTE_THRESHOLD?" in record.getMessage()


def test_a_variable_like_none_of_ours_is_told_with_all_the_known_ones(log: pytest.LogCaptureFixture) -> None:
    Settings.load(environment={"SEMROUTE_Q": "1"})
    assert "known are SEMROUTE_CACHE_DIR, SEMROUTE_CANARY" in log.text


def test_nothing_is_said_of_variables_that_are_known(log: pytest.LogCaptureFixture) -> None:
    Settings.load(environment={"SEMROUTE_CANARY": "1", "SEMROUTE_DATA": "/data", "SEMROUTE_MODEL_DIR": "/x"})
    assert not log.records


def test_a_file_holds_settings_of_every_kind(file: Path) -> None:
    file.write_text('store = "memory://"\nrequire_scope = true\nstrip = ["uuid"]\nthreshold = 0.9\n')
    assert Settings.load(environment={}, file=file) == Settings(
        store="memory://", require_scope=True, strip=("uuid",), threshold=0.9
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("candidates = ", "could not be read as settings"),
        ("candidates = 5\ncandidates = 6", "could not be read as settings"),
        ("candidats = 5", r"unknown settings \['candidats'\]; known are \['canary'"),
        ('candidates = "5"', "candidates must be a whole number"),
        ("threshold = 2", "threshold must be a number between 0 and 1, not 2"),
        ('strip = "uuid"', "strip must be a tuple"),
        ("[semroute]\ncandidates = 5", "unknown settings"),
    ],
)
def test_a_broken_file_is_refused_with_what_is_wrong(file: Path, text: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        Settings.load(environment={}, file=file)


def test_a_file_that_is_no_text_is_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="could not be read as settings"):
        Settings.load(environment={}, file=file)


def test_the_environment_names_the_file(file: Path) -> None:
    file.write_text("candidates = 9")
    assert Settings.load(environment={"SEMROUTE_CONFIG": str(file)}).candidates == 9


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.toml", tmp_path):
        with pytest.raises(ConfigError, match="could not be read"):
            Settings.load(environment={"SEMROUTE_CONFIG": str(path)})


def test_the_file_of_the_working_folder_is_read_where_there_is_one(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Settings.load(environment={}) == Settings()
    (tmp_path / "semroute.toml").write_text("candidates = 9")
    assert Settings.load(environment={}).candidates == 9


def test_an_unknown_argument_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"unknown settings \['treshold'\].*threshold"):
        Settings.load({"treshold": 0.9}, environment={})


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Settings().candidates = 7
