"""`semroute stats` and `semroute invalidate` on a real store."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from semroute import SemanticCache, scope
from semroute.cli._output import UsageError
from semroute.cli.care import parse_duration
from semroute.cli.main import app
from semroute.testing.embedders import HashEmbedder

Shell = Callable[..., Result]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a store with two answers of acme and one of zeta."""
    path = tmp_path / "answers.db"
    with SemanticCache(path, embedder=HashEmbedder()) as cache:
        for tenant, question in (("acme", "Which cards?"), ("acme", "Which ports?"), ("zeta", "Which cards?")):
            with scope(tenant=tenant, tags=["faq"] if question == "Which cards?" else []):
                cache.update(question, "All of them.")
    return path


@pytest.fixture
def shell(store: Path) -> Shell:
    return lambda *arguments, **given: CliRunner().invoke(app, [*arguments, "--store", str(store)], **given)


def entries_of(shell: Shell) -> int:
    return int(json.loads(shell("stats", "--json").stdout)["entries"])


def test_stats_counts_what_the_store_holds(shell: Shell, store: Path) -> None:
    figures = json.loads(shell("stats", "--json").stdout)
    assert (figures["entries"], figures["aliases"], figures["partitions"]) == (3, 0, 2)
    assert figures["bytes"] > 0
    assert figures["path"] == str(store)


def test_stats_for_a_person_names_the_file(shell: Shell, store: Path) -> None:
    page = shell("stats").stdout
    assert "3 entries and 0 aliases in 2 partitions" in page
    assert str(store) in page


@pytest.mark.parametrize(
    ("selection", "removed"),
    [
        (["--tenant", "acme"], 2),
        (["--tag", "faq"], 2),
        (["--tenant", "acme", "--tag", "faq"], 1),
        (["--tenant", "nobody"], 0),
        (["--namespace", "none"], 0),
        (["--older-than", "1h"], 0),
    ],
)
def test_invalidate_removes_what_all_options_apply_to(shell: Shell, selection: list[str], removed: int) -> None:
    answer = shell("invalidate", *selection, "--json")
    assert answer.exit_code == 0
    assert json.loads(answer.stdout) == {"removed": removed}
    assert entries_of(shell) == 3 - removed


def test_one_entry_can_be_removed_by_its_id(shell: Shell, store: Path) -> None:
    with SemanticCache(store, embedder=HashEmbedder()) as cache, scope(tenant="zeta"):
        hit_id = cache.key(cache.request("Which cards?"))
    assert json.loads(shell("invalidate", "--entry", hit_id, "--json").stdout) == {"removed": 1}


def test_everything_is_removed_only_after_a_yes(shell: Shell) -> None:
    refused = shell("invalidate", "--all", input="n\n")
    assert refused.exit_code == 1
    assert entries_of(shell) == 3
    assert "3 entries removed" in shell("invalidate", "--all", input="y\n").stdout
    assert entries_of(shell) == 0


def test_everything_as_json_needs_the_yes_beforehand(shell: Shell) -> None:
    refused = shell("invalidate", "--all", "--json")
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "--yes" in refused.stderr
    assert json.loads(shell("invalidate", "--all", "--json", "--yes").stdout) == {"removed": 3}


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ([], "(--tenant, --namespace, --user, --tag, --entry, --corpus, --document, --older-than), or --all"),
        (["--all", "--tenant", "acme"], "--all removes everything: give it alone"),
    ],
)
def test_invalidate_needs_to_know_what(shell: Shell, selection: list[str], message: str) -> None:
    refused = shell("invalidate", *selection)
    assert refused.exit_code == 2
    assert "name what to remove" in refused.stderr
    assert message in refused.stderr
    assert entries_of(shell) == 3


def test_a_store_that_is_not_there_is_said_so_and_not_made(tmp_path: Path) -> None:
    path = tmp_path / "typo.db"
    refused = CliRunner().invoke(app, ["stats", "--store", str(path)])
    assert refused.exit_code == 1
    assert "there is no store at" in refused.stderr
    assert not path.exists()


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("45s", timedelta(seconds=45)),
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("1.5d", timedelta(hours=36)),
        (" 2W ", timedelta(weeks=2)),
    ],
)
def test_durations_are_read(text: str, duration: timedelta) -> None:
    assert parse_duration(text) == duration


@pytest.mark.parametrize("text", ["", "7", "d", "-3d", "0h", "1y", "1h30m", "99999999w"])
def test_a_duration_that_says_nothing_clear_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--older-than"):
        parse_duration(text)
