from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from semroute.errors import ConfigError
from semroute.stores._sqlite.location import parse_location


def test_three_slashes_are_relative_and_four_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_location("sqlite:///a/b.db").path == tmp_path / "a" / "b.db"
    assert parse_location("sqlite:////a/b.db").path == Path("/a/b.db")


def test_a_relative_path_stays_where_it_was_when_the_working_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    location = parse_location(Path("a.db"))
    monkeypatch.chdir("/")
    assert location.path == tmp_path / "a.db"


def test_escapes_in_a_url_are_undone_and_paths_are_taken_as_they_are() -> None:
    assert parse_location("sqlite:////a%20b/c.db").path == Path("/a b/c.db")
    assert parse_location("/a%20b.db").path == Path("/a%20b.db")
    assert parse_location(Path("~/a.db")).path == Path.home() / "a.db"


def test_the_default_is_in_the_users_data_folder() -> None:
    assert parse_location(None).path == Path(platformdirs.user_data_dir("semroute", appauthor=False)) / "answers.db"


def test_memory_has_no_path() -> None:
    assert parse_location("memory://").is_memory
    assert str(parse_location("memory://")) == "memory://"


@pytest.mark.parametrize("url", ["", "sqlite://", "sqlite:///", "redis://localhost", "memory://name", "file:///a.db"])
def test_other_urls_are_refused_with_those_that_are_known(url: str) -> None:
    with pytest.raises(ConfigError, match="sqlite:///relative"):
        parse_location(url)
