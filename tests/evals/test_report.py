"""The page and the figures beside it, from a data folder to the files."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from evals import report
from evals.measure import STREAM_BOUNDS
from evals.page import page
from evals.peers import PEERS_FILE
from evals.protocols import row_of
from evals.results import About, OnlineRow, OnlineRun, OutOfFold, PeerReport, PeerSet, Report, read, write
from semroute.errors import ConfigError
from semroute.evaluation.metrics import PairOutcome
from semroute.testing.embedders import HashEmbedder

from .sets import write_sets

FROM_ELSEWHERE = re.compile(r"""(?:src|href)\s*=\s*(?!["']?#)|url\((?!["']?#)|@import|<script|<link""", re.IGNORECASE)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the report of the small sets; tests leave it as it is."""
    folder, data = tmp_path_factory.mktemp("out"), write_sets(tmp_path_factory.mktemp("data"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "OnnxEmbedder", HashEmbedder)
        assert report.main(["--data", str(data), "--out", str(folder), "--no-online"]) == 0
    return folder


@pytest.fixture
def out(measured: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(measured, tmp_path / "out")


def peers_of(*scores: float, name: str = "mqp_medical") -> PeerReport:
    """Return what two caches with the same scores did on the pairs of a set, whose labels are 1, 0, 1, 0."""
    outcomes = [PairOutcome(number % 2 == 0, score > 0.5, False, score) for number, score in enumerate(scores)]
    rows = [row_of(About(cache, {}, "its own", "vectors"), outcomes) for cache in ("static", "gptcache")]
    return PeerReport("python -m evals.peers --data DATA", [PeerSet(name, "Bells & whistles", len(scores), True, rows)])


def test_a_run_leaves_a_page_and_its_figures_and_nothing_else(out: Path) -> None:
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.json"]
    figures = read(Report, out / "report.json")
    assert [one.name for one in figures.pairs][:2] == ["paws_qqp", "checklist_qqp"]
    assert {one.ours.by_default.n for one in figures.pairs if one.name != "same_place"} == {4}
    assert [run.insert for run in figures.streams] == ["always", "miss"]
    assert [point.max_error for point in figures.streams[0].points] == list(STREAM_BOUNDS)
    assert (figures.conversations.figures.n, figures.conversations.figures.false_hits) == (1, 0)


def test_the_page_needs_nothing_from_elsewhere(out: Path) -> None:
    text = (out / "report.html").read_text()
    assert not FROM_ELSEWHERE.search(text)
    assert text.count("<svg") == 3


def test_every_section_names_the_command_that_made_it(out: Path) -> None:
    text = (out / "report.html").read_text()
    assert "semroute eval pairs paws_qqp/pairs.csv.gz --q1 sentence1 --q2 sentence2 --label label" in text
    assert (
        "semroute eval pairs qqp/pairs.csv.gz --q1 q1 --q2 q2 --label label --texts qqp/stream.csv.gz:qid:text" in text
    )
    assert "semroute eval stream qqp/stream.csv.gz --text text --class class_norm --limit 7 --insert miss" in text
    assert "semroute eval conversations conversations/collision_pairs.csv --turns conversations/turns.jsonl.gz" in text
    assert "python -m evals.report --data DATA --no-online" in text
    assert str(out.parents[1]) not in text


def test_the_page_shows_the_figures_of_the_json(out: Path) -> None:
    figures, text = read(Report, out / "report.json"), (out / "report.html").read_text()
    paws = figures.pairs[0]
    assert paws.ours.by_default.hit_rate == 1.0
    assert paws.title in text
    assert f"{paws.ours.by_default.p_chr_auc:.3f}" in text
    assert figures.policy in text


def test_the_page_can_be_written_anew_without_measuring(out: Path) -> None:
    before = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    assert report.main(["--page-only", "--out", str(out)]) == 0
    assert (out / "report.html").read_bytes() == before


def test_other_caches_are_shown_when_they_were_measured(out: Path) -> None:
    assert "make peers" in (out / "report.html").read_text()
    write(peers_of(0.9, 0.2, 0.3, 0.4), out / PEERS_FILE)
    assert report.main(["--page-only", "--out", str(out)]) == 0
    text = (out / "report.html").read_text()
    assert "Bells &amp; whistles: 4 pairs" in text
    assert "gptcache" in text
    assert text.count("<svg") == 4
    assert not FROM_ELSEWHERE.search(text)


@pytest.mark.parametrize(
    ("scores", "won"),
    [((0.9, 0.2, 0.3, 0.4), "1 of 1"), ((0.9, 0.2, 0.8, 0.4), "0 of 1"), ((0.9, 0.2), "0 of 1")],
    ids=["above both", "a tie is no win", "other pairs cannot be compared"],
)
def test_ours_is_compared_with_the_other_caches(out: Path, scores: tuple[float, ...], won: str) -> None:
    text = page(read(Report, out / "report.json"), peers_of(*scores))
    assert f"<b>{won}</b>" in text


def test_policies_that_learn_are_shown_when_they_were_measured(out: Path) -> None:
    figures = read(Report, out / "report.json")
    assert "Learning per entry" not in page(figures, None)
    row = OnlineRow(0.01, "vCache rule", 0.0123, 0.0045, 0.63, 0.0046)
    text = page(replace(figures, online=OnlineRun(60, [row], "python evals/online.py stream.csv")), None)
    assert "vCache rule" in text
    assert "1.23 %" in text
    assert "python evals/online.py stream.csv" in text


def test_unseen_pairs_count_where_the_verifiers_card_knows_them(out: Path) -> None:
    figures = read(Report, out / "report.json")
    unseen = OutOfFold(4, 0.4321, 0.0123, 0.5)
    pairs = [replace(one, out_of_fold=unseen if one.name == "mqp_medical" else None) for one in figures.pairs]
    text = page(replace(figures, pairs=pairs), peers_of(0.9, 0.2, 0.3, 0.4))
    assert "43.2 %" in text
    assert "<b>0 of 1</b>" in text


def test_a_verifier_is_named_with_what_its_figures_are_worth(out: Path) -> None:
    figures = read(Report, out / "report.json")
    assert "fitted on" not in page(figures, None)
    text = page(replace(figures, verifier="abcdef0123456789"), None)
    assert "verifier abcdef012345" in text
    assert "not those of unseen pairs" in text


def test_what_a_policy_calls_itself_cannot_become_part_of_the_page(out: Path) -> None:
    figures = replace(read(Report, out / "report.json"), policy="<script>alert(1)</script>")
    assert "<script" not in page(figures, None)


def test_a_file_that_is_no_report_is_told(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"pairs": 3}')
    with pytest.raises(ConfigError, match=r"report\.json holds no result"):
        read(Report, tmp_path / "report.json")


def test_a_data_folder_without_the_sets_is_a_wrong_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main(["--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "set paws_qqp" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
