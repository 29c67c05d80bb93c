"""Timing caches beside each other: figures out of times, the loop that times, and a small run of our own caches."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from evals import peers_latency
from evals.peers import PeerError
from evals.peers_figures import (
    SAME,
    SHIPPED,
    Alternating,
    CacheFigures,
    LatencyReport,
    Lookups,
    Part,
    Tally,
    TimedAbout,
    bars,
    page,
    ratios,
    table,
)
from evals.peers_latency import Plan, Supply, alternate, command_line, measure, time_part, worker
from semroute.errors import ConfigError

FOLDER = Path(peers_latency.__file__).with_name("peers")


@pytest.fixture(scope="module")
def timed() -> Iterator[ModuleType]:
    """The worker's loop: a script beside others, in no package."""
    spec = importlib.util.spec_from_file_location("evals_timed", FOLDER / "timed.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def about(name: str, form: str = "text", *, is_filled: bool = True) -> TimedAbout:
    return TimedAbout(name, form, "lookup", "some", {"it": "1.0"}, is_filled)


def lookups(p50_ms: float | None) -> Lookups:
    least_ms = None if p50_ms is None else p50_ms / 2
    return Lookups(10, 10, 0, 0, p50_ms, p50_ms, least_ms)


def figures(name: str, exact_ms: float | None, other_ms: float | None, form: str = "text") -> CacheFigures:
    return CacheFigures(about(name, form), lookups(exact_ms), lookups(other_ms))


class Kept:
    """A cache in this process; `key` says what makes two calls the same. Each lookup takes a millisecond."""

    def __init__(self, key: Callable[[str, str], object], *, is_filled: bool = True) -> None:
        self.about = about("kept", is_filled=is_filled)
        self.asked: list[str] = []
        self._key = key
        self._answers: dict[object, str] = {}

    def ask(self, texts: Sequence[str], model: str) -> tuple[list[float], list[str | None]]:
        self.asked += texts
        return [0.001] * len(texts), [self._answers.get(self._key(text, model)) for text in texts]

    def store(self, text: str, model: str, answer: str) -> None:
        self._answers[self._key(text, model)] = answer


def counts(found: Alternating) -> tuple[int, int, int, int, int]:
    return found.calls, found.paid, found.right, found.wrong_model, found.wrong_question


def test_a_miss_counts_but_its_time_does_not() -> None:
    tally = Tally([])
    for seconds, answer in ((0.001, "yes"), (0.003, "no"), (9.0, None), (0.002, "yes")):
        tally.note(seconds, answer, "yes")
    assert tally.lookups() == Lookups(asked=4, right=2, wrong=1, missed=1, p50_ms=2.0, p95_ms=3.0, least_ms=1.0)


def test_where_vectors_mean_nothing_misses_are_timed_as_well() -> None:
    tally = Tally([], times_misses=True)
    for seconds in (0.001, 0.003):
        tally.note(seconds, None, "yes")
    assert tally.lookups() == Lookups(asked=2, right=0, wrong=0, missed=2, p50_ms=2.0, p95_ms=3.0, least_ms=1.0)


def test_the_95th_percentile_is_the_nearest_rank() -> None:
    tally = Tally([number / 1_000 for number in range(1, 101)], right=100)
    assert tally.lookups().p95_ms == 95.0


def test_where_nothing_is_served_there_is_no_time() -> None:
    tally = Tally([])
    tally.note(1.0, None, "yes")
    assert tally.lookups() == Lookups(1, 0, 0, 1, None, None, None)


def test_each_cache_stands_beside_the_one_of_ours_that_is_called_the_same_way() -> None:
    caches = [
        figures("semroute", 0.1, 4.0),
        figures("langchain_semroute", 0.2, 5.0),
        figures("langchain_semroute", 0.25, 5.0, "messages"),
        figures("redisvl", 5.0, 6.0),
        figures("langchain-redis", 4.0, None),
        figures("langchain-redis", 20.0, 20.0, "messages"),
    ]
    found = {(one.peer, one.form): (one.ours, one.exact, one.paraphrase) for one in ratios(caches)}
    assert found == {
        ("redisvl", "text"): ("semroute", 50.0, 1.5),
        ("langchain-redis", "text"): ("langchain_semroute", 20.0, None),
        ("langchain-redis", "messages"): ("langchain_semroute", 80.0, 4.0),
    }


def test_least_times_have_ratios_of_their_own() -> None:
    peer = CacheFigures(about("redisvl"), Lookups(1, 1, 0, 0, 90.0, 99.0, 6.0), Lookups(1, 1, 0, 0, 90.0, 99.0, 8.0))
    (found,) = ratios([figures("semroute", 3.0, 4.0), peer])
    assert (found.exact, found.least_exact, found.least_paraphrase) == (30.0, 4.0, 4.0)


def part(name: str, *caches: CacheFigures) -> Part:
    return Part(name, caches, ratios(caches), (0.5, 1.0))


def test_a_bar_holds_for_the_least_of_all_ratios() -> None:
    ours = (figures("semroute", 0.1, 4.0), figures("langchain_semroute", 0.1, 4.0))
    parts = [
        part(SHIPPED, *ours, figures("redisvl", 3.0, 12.0), figures("langchain-redis", 9.0, 11.0)),
        part(SAME, *ours, figures("redisvl", 0.4, 4.0), figures("langchain-redis", 9.0, 4.0)),
    ]
    assert [(one.part, one.kind, one.least, one.is_met) for one in bars(parts)] == [
        (SHIPPED, "exact", 30.0, True),
        (SHIPPED, "paraphrase", 2.75, False),
        (SAME, "exact", 4.0, False),
        (SAME, "paraphrase", 1.0, True),
    ]


def test_no_bar_is_met_where_a_cache_served_nothing_or_none_was_timed() -> None:
    ours = (figures("semroute", 0.1, 4.0), figures("langchain_semroute", 0.1, 4.0))
    silent = part(SHIPPED, *ours, figures("redisvl", None, 12.0), figures("langchain-redis", 9.0, 12.0))
    assert [(one.least, one.is_met) for one in bars([silent])] == [(None, False), (3.0, True)]
    assert not any(one.is_met for one in bars([part(SHIPPED, *ours)]))


def test_the_columns_of_a_table_line_up() -> None:
    lines = table(("cache", "ms"), [["one", "1.25"], ["another", "–"]]).splitlines()
    assert lines[0] == "| cache   |   ms |"
    assert lines[3] == "| another |    – |"
    assert len({len(line) for line in lines}) == 1


def test_the_page_shows_times_ratios_and_which_bar_is_missed() -> None:
    measured = part(SAME, figures("semroute", 0.125, 4.0), figures("redisvl", 5.0, 3.0))
    report = LatencyReport("command", "2 cores", 10_000, 400, [measured], [], bars([measured]))
    shown = page(report)
    assert "10,000 entries" in shown
    assert "0.125" in shown
    assert "40.0 ×" in shown
    assert "≥ 5 ×: met" in shown
    assert "≥ 1 ×: MISSED" in shown


def test_a_cache_that_tells_models_apart_pays_each_of_them_once() -> None:
    found = alternate(Kept(lambda text, model: (text, model)), ["Why?", "How?"], rounds=3)
    assert counts(found) == (12, 4, 8, 0, 0)


def test_a_cache_that_knows_no_model_serves_the_other_models_answer() -> None:
    assert counts(alternate(Kept(lambda text, _: text), ["Why?"], rounds=3)) == (6, 1, 2, 3, 0)


def test_an_answer_to_another_question_is_counted_apart() -> None:
    assert counts(alternate(Kept(lambda _, __: "all"), ["Why?", "How?"], rounds=1)) == (4, 1, 0, 1, 2)


def test_every_paraphrase_is_asked_once_and_all_caches_get_the_same() -> None:
    plan = Plan(entries=100, rows=3, in_a_row=4)
    supply = Supply(plan)
    asked = [text for _ in range(10) for text in supply.batch("paraphrase").texts]
    assert len(asked) == 50 == len(set(asked))
    first, second = Kept(lambda *_: 0), Kept(lambda *_: 0)
    time_part(SHIPPED, [first, second, Kept(lambda *_: 0, is_filled=False)], plan, Supply(plan))
    assert first.asked == second.asked
    assert len(first.asked) == 2 * plan.lookups


def test_the_first_lookup_of_a_row_and_the_first_rows_are_not_counted() -> None:
    plan = Plan(entries=100, rows=3, in_a_row=4)
    (found,) = time_part(SHIPPED, [Kept(lambda *_: 0)], plan, Supply(plan)).caches
    assert (found.exact.asked, found.paraphrase.asked) == (12, 12)


def test_torch_is_told_its_threads_only_where_there_is_torch() -> None:
    plan = Plan(torch_threads=1, has_sized=True)
    assert plan.of_torch("shipped") == ["--torch-threads=1", "--default-size"]
    assert plan.of_torch("ours") == Plan().of_torch("shipped") == []
    assert command_line(plan).endswith("--in-a-row 10 --default-size --torch-threads 1")


@pytest.mark.parametrize(
    "plan", [Plan(entries=0), Plan(entries=10, rows=10), Plan(rows=0), Plan(in_a_row=0), Plan(torch_threads=0)]
)
def test_a_plan_that_cannot_be_carried_out_is_refused(plan: Plan) -> None:
    with pytest.raises(ConfigError):
        plan.check()


def test_a_missing_environment_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make peers"):
        measure(Plan(), tmp_path / "python")


def test_a_worker_that_breaks_off_is_an_error_with_what_it_said(tmp_path: Path) -> None:
    script = "import sys; print('no weights here', file=sys.stderr); sys.exit(3)"
    with pytest.raises(PeerError, match=r"status 3: no weights here"), worker([sys.executable, "-c", script], tmp_path):
        pass


def test_the_loop_times_the_call_alone_and_in_order(timed: ModuleType) -> None:
    times = iter([1.0, 1.5, 2.0, 2.25])
    cache = Recited(timed)
    found = timed.ask(cache, ["Why?", "How?"], "model-b", clock=lambda: next(times))
    assert found == {"seconds": [0.5, 0.25], "answers": ["Why? by model-b", None]}
    assert cache.done == ["make Why?", "make How?", "call Why?", "read", "call How?", "read"]


def test_the_loop_does_what_each_line_says(timed: ModuleType) -> None:
    cache = Recited(timed)
    named = {"name": "recited", "form": "text"}
    orders = [
        {"do": "fill", **named, "questions": ["Why?"], "answers": ["So."]},
        {"do": "store", **named, "text": "How?", "model": "model-b", "answer": "Thus."},
        {"do": "ask", **named, "texts": ["Why?"], "model": "model-a"},
    ]
    said = io.StringIO()
    timed.serve([cache], io.StringIO("".join(json.dumps(order) + "\n" for order in orders)), said)
    head, filled, stored, asked = map(json.loads, said.getvalue().splitlines())
    assert TimedAbout(**head["caches"][0]).name == "recited"
    assert (filled, stored, asked["answers"]) == ({"stored": 1}, {}, ["Why? by model-a"])
    assert cache.done[:2] == ["fill Why? So.", "store How? model-b Thus."]


class Recited:
    """Notes what is done with it; it answers "Why?" only."""

    def __init__(self, timed: ModuleType) -> None:
        self.about = timed.About("recited", "text", "lookup", "none", {})
        self.done: list[str] = []

    def fill(self, questions: Sequence[str], answers: Sequence[str]) -> None:
        self.done.append(" ".join(["fill", *questions, *answers]))

    def call(self, text: str, model: str) -> Callable[[], Any]:
        self.done.append(f"make {text}")
        return lambda: self._called(text, model)

    def answer_in(self, found: Any) -> str | None:
        self.done.append("read")
        return f"{found[0]} by {found[1]}" if found[0] == "Why?" else None

    def store(self, text: str, model: str, answer: str) -> None:
        self.done.append(" ".join(["store", text, model, answer]))

    def _called(self, text: str, model: str) -> tuple[str, str]:
        self.done.append(f"call {text}")
        return text, model


def test_our_own_caches_serve_repeats_paraphrases_and_each_model_its_own_answer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--entries", "60", "--rows", "2", "--in-a-row", "3", "--messages", "--ours-only"]
    assert peers_latency.main([*options, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["command"] == " ".join(["python -m evals.peers_latency", *options])
    assert [one["name"] for one in report["parts"]] == [SHIPPED, SAME]
    for measured in report["parts"]:
        names = [(one["about"]["name"], one["about"]["form"]) for one in measured["caches"]]
        assert names == [("semroute", "text"), ("langchain_semroute", "text"), ("langchain_semroute", "messages")]
        for one in measured["caches"]:
            assert (one["exact"]["right"], one["exact"]["asked"]) == (6, 6)
            assert (one["paraphrase"]["right"], one["paraphrase"]["wrong"]) == (6, 0)
            assert 0 < one["exact"]["least_ms"] < one["paraphrase"]["least_ms"]
    prompts = len(peers_latency.PROMPTS)
    for alternating in report["alternating"]:
        assert (alternating["calls"], alternating["paid"], alternating["right"]) == (
            6 * prompts,
            2 * prompts,
            4 * prompts,
        )
    assert report["bars"] == []
