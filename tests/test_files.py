"""Files that are written whole or not at all, and places where none can be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from semroute._files import check_place, replace_text, replacement
from semroute.errors import ConfigError


def test_folders_that_are_missing_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    replace_text(path, "text")
    assert path.read_text() == "text"
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_block_that_fails_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("before")

    def interrupted() -> None:
        with replacement(path) as fresh:
            fresh.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_for_its_owner_alone_is_so_from_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    with replacement(path, mode=0o600) as fresh:
        assert fresh.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_place_is_looked_at_without_making_anything(tmp_path: Path) -> None:
    check_place(tmp_path / "a" / "b" / "file.txt")
    (tmp_path / "there").touch()
    check_place(tmp_path / "there")
    assert list(tmp_path.iterdir()) == [tmp_path / "there"]


def test_a_folder_or_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder: name a file in it"):
        check_place(tmp_path)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ConfigError, match=f"{file} is a file, and .* needs a folder there"):
        check_place(file / "deep" / "out.json")


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder that nobody may write to")
def test_a_folder_that_takes_no_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"nothing can be written in the folder /proc: "):
        check_place(Path("/proc/out.json"))
