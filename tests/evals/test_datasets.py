"""Sets of labelled questions, read out of folders and of the model hub."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from evals import datasets
from evals.datasets import DATASETS, File, PairColumns, StreamColumns, load_pairs, load_stream, load_turn_pairs
from semroute.errors import ConfigError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_every_set_says_where_it_comes_from_and_under_which_licence() -> None:
    assert len({one.name for one in DATASETS}) == len(DATASETS)
    for one in DATASETS:
        assert one.title
        assert one.source
        assert one.licence
        assert all(len(bytes.fromhex(file.sha256)) == 32 for file in one.files)


def test_every_set_is_read_from_a_folder(data: Path) -> None:
    for one in DATASETS:
        match one.columns:
            case PairColumns() if one.file.is_shipped:
                assert load_pairs(one.name, str(data)).is_as_measured
            case PairColumns(label=label):
                loaded = load_pairs(one.name, str(data))
                assert [pair.is_positive for pair in loaded.items] == [True, label is None, True, label is None]
            case StreamColumns():
                assert len(load_stream(one.name, str(data)).items) == 7
            case _:
                assert load_turn_pairs(one.name, str(data)).items[0].is_positive is False


def test_a_set_of_our_own_needs_no_data_folder() -> None:
    loaded = load_pairs("same_place", limit=3)
    assert len(loaded.items) == 3
    assert all(pair.is_positive for pair in loaded.items)


def test_ids_are_joined_with_their_texts(data: Path) -> None:
    first = load_pairs("qqp", str(data)).items[0]
    assert (first.stored, first.asked) == ("How do I renew my library card?", "how do i renew my library card")


def test_groups_come_with_the_pairs(data: Path) -> None:
    assert [pair.group for pair in load_pairs("paws_qqp", str(data)).items] == ["same", "far", "same", "far"]


def test_a_limit_takes_the_first_rows(data: Path) -> None:
    assert len(load_pairs("timeqa", str(data), limit=3).items) == 3
    assert len(load_stream("qqp_stream", str(data), limit=2).items) == 2


def test_the_folder_can_be_named_in_the_environment(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMROUTE_DATA", str(data))
    assert len(load_pairs("timeqa").items) == 4


def test_without_a_folder_the_error_says_how_to_name_one() -> None:
    with pytest.raises(ConfigError, match=r"timeqa.*SEMROUTE_DATA"):
        load_pairs("timeqa")


def test_a_missing_file_is_named_with_its_set_its_path_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_pairs("mqp_medical", str(tmp_path))
    message = str(caught.value)
    assert "set mqp_medical" in message
    assert str(tmp_path / "mqp_medical" / "pairs.csv") in message
    assert "name a data folder" in message
    assert "curai/medical-question-pair-dataset" in message


def test_an_unknown_set_is_told_with_those_that_there_are(data: Path) -> None:
    with pytest.raises(ConfigError, match=r"'paws'.*paws_qqp"):
        load_pairs("paws", str(data))


@pytest.mark.parametrize(("load", "name"), [(load_pairs, "qqp_stream"), (load_stream, "qqp"), (load_turn_pairs, "qqp")])
def test_a_set_of_another_kind_is_refused(load: Callable[..., object], name: str, data: Path) -> None:
    with pytest.raises(ConfigError, match=f"{name} is no"):
        load(name, str(data))


def test_other_files_than_the_measured_ones_are_noticed(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not load_pairs("timeqa", str(data)).is_as_measured
    digest = hashlib.sha256((data / "timeqa" / "pairs.csv").read_bytes()).hexdigest()
    known = replace(datasets.dataset("timeqa"), file=File("timeqa/pairs.csv", digest))
    monkeypatch.setattr(datasets, "DATASETS", (known,))
    assert load_pairs("timeqa", str(data)).is_as_measured


def test_the_file_of_the_texts_counts_too(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256((data / "qqp" / "pairs.csv.gz").read_bytes()).hexdigest()
    known = replace(datasets.dataset("qqp"), file=File("qqp/pairs.csv.gz", digest))
    monkeypatch.setattr(datasets, "DATASETS", (known,))
    assert not load_pairs("qqp", str(data)).is_as_measured


@pytest.fixture
def hub(data: Path) -> Iterator[str]:
    """A model hub on loopback that holds one data set, "someone/sets": the files of the data folder."""
    root = "/datasets/someone/sets/resolve/"

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._send(with_body=False)

        def do_GET(self) -> None:
            self._send(with_body=True)

        def _send(self, *, with_body: bool) -> None:
            _, _, name = self.path.removeprefix(root).partition("/")
            path = data / name
            if not self.path.startswith(root) or not path.is_file():
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = path.read_bytes()
            self.send_response(200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if with_body:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


READ_FROM_HUB = """
import sys
sys.path.insert(0, sys.argv[1])
from evals.datasets import load_pairs
from semroute.errors import ConfigError
try:
    print([pair.asked for pair in load_pairs(sys.argv[2], sys.argv[3]).items])
except ConfigError as error:
    print("ConfigError", error)
"""


def test_a_set_is_read_from_a_data_set_on_the_hub(
    hub: str, data: Path, tmp_path: Path, run_python: Callable[..., str]
) -> None:
    (data / "timeqa" / "pairs.csv").rename(data / "elsewhere.csv")
    root = str(Path(__file__).resolve().parents[2])
    outside = {"HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hub"), "HF_HUB_DISABLE_XET": "1"}
    read = run_python(READ_FROM_HUB, root, "mqp_medical", "hf://someone/sets@main", **outside)
    assert "When does the harbour freeze over?" in read
    missing = run_python(READ_FROM_HUB, root, "timeqa", "hf://someone/sets", **outside)
    assert missing.startswith("ConfigError set timeqa: timeqa/pairs.csv cannot be had from hf://someone/sets")


def test_a_hub_out_of_reach_is_told(data: Path) -> None:
    # The tests run with the hub switched off.
    with pytest.raises(ConfigError, match=r"set timeqa: timeqa/pairs\.csv cannot be had from hf://someone/sets"):
        load_pairs("timeqa", "hf://someone/sets")


def test_a_wrong_name_on_the_hub_is_told() -> None:
    with pytest.raises(ConfigError, match="cannot be had from hf://a/b/c"):
        load_pairs("timeqa", "hf://a/b/c")
