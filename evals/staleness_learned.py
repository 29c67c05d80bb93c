"""Fit the router's learned heads, and measure staleness, intent and complexity on prompts that they have not seen.

    python -m evals.staleness_learned DATA --vectors vectors.npz --out heads.json --json

DATA is a folder with situatedqa/context_dependence.csv, freshqa/questions.csv, intents/clinc150.csv.gz, hwu64.csv and
banking77.csv.gz (evals/staleness_learned.md says what they are, and how their labels become ours). Every figure is
out of fold: by fits, calibrations and thresholds that did not see the prompt. Rates are fractions.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast, get_args

import numpy as np

from evals.kept_vectors import KeptEmbedder
from semroute.cli._output import progress
from semroute.embedders.onnx import OnnxEmbedder
from semroute.evaluation.tables import read_rows, text_of
from semroute.freshness import judge_freshness
from semroute.request import fold
from semroute.router._heads import CLASSES, load, shorter
from semroute.router.decision import Complexity, Intent, Staleness
from semroute.router.rules import decide
from semroute.tuning._head_fitting import auc, f1
from semroute.tuning.router_heads import FittedHeads, LabelledPrompt, OutOfFold, fit_heads, labelled_prompts

if TYPE_CHECKING:
    from semroute.entry import JSON
    from semroute.evaluation.tables import Row

T = TypeVar("T")
Figures: TypeAlias = dict[str, float | int]

WRITTEN: Final = Path(__file__).resolve().parent / "written" / "router" / "requests.jsonl"
STALENESS_OF: Final[Mapping[str, Staleness]] = {
    "never-changing": "timeless",
    "slow-changing": "slow",
    "fast-changing": "daily",
}
"""FreshQA's fact types: "slow" changes within several years, "fast" within a year or sooner."""
WRITTEN_WEIGHT: Final = 0.6
"""What one of our own questions counts for the staleness, beside one of FreshQA's, on which it is calibrated."""
MOST_OTHERS: Final = 2_000
EVERY: Final = 8
"""Of the large sets every so many rows count for the intent, so that no class drowns the others."""

BY_THE_HOUR: Final[Mapping[str, frozenset[str]]] = {
    "clinc150": frozenset(["weather", "traffic", "time", "date", "exchange_rate", "flight_status", "how_busy"]),
    "hwu64": frozenset(
        ["weather_query", "qa_stock", "qa_currency", "transport_traffic", "datetime_query", "news_query"]
    ),
}
SMALL_TALK: Final[Mapping[str, frozenset[str]]] = {
    "clinc150": frozenset(
        [
            *("are_you_a_bot", "do_you_have_pets", "fun_fact", "goodbye", "greeting", "how_old_are_you", "tell_joke"),
            *("meaning_of_life", "thank_you", "what_are_your_hobbies", "what_can_i_ask_you", "what_is_your_name"),
            *("where_are_you_from", "who_do_you_work_for", "who_made_you", "yes", "no", "maybe"),
        ]
    ),
    "hwu64": frozenset(
        [
            *("general_affirm", "general_praise", "general_negate", "general_dontcare", "general_confirm"),
            "general_joke",
        ]
    ),
}
LASTING: Final[Mapping[str, frozenset[str]]] = {
    "clinc150": frozenset(
        [
            *("definition", "carry_on", "international_visa", "plug_type", "timezone", "translate", "vaccines"),
            *("interest_rate", "spelling", "measurement_conversion", "calculator", "insurance", "rollover_401k"),
            *("taxes", "w2", "improve_credit_score", "international_fees", "replacement_card_duration", "jump_start"),
            *("oil_change_how", "tire_change", "gas_type", "mpg", "calories", "cook_time", "food_last", "recipe"),
            *("ingredient_substitution", "ingredients_list", "meal_suggestion", "nutrition_info"),
            *("restaurant_suggestion", "travel_suggestion", "change_accent", "change_language"),
        ]
    ),
    "hwu64": frozenset(["qa_definition", "qa_factoid", "qa_maths", "cooking_recipe"]),
}
"""Questions that an answer of yesterday serves; all but the changes of a setting ask for knowledge."""
NO_QUESTION: Final = frozenset(["change_accent", "change_language", "calculator", "translate", "qa_maths"])


def read(data: Path) -> list[LabelledPrompt]:
    """Read all sets. Raises ConfigError."""
    own = [one for row in read_rows(WRITTEN, columns=("prompt", "intent")) for one in labelled_prompts([row])]
    prompts = [replace(one, staleness=None, source="written") for one in own]
    prompts += [
        LabelledPrompt(one.prompt, staleness=one.staleness, weight=WRITTEN_WEIGHT, source="written")
        for one in own
        if one.staleness is not None
    ]
    asked = read_rows(data / "freshqa" / "questions.csv", columns=("question", "fact_type"))
    prompts += [
        LabelledPrompt(
            text_of(row, "question"),
            intent="retrieval",
            staleness=STALENESS_OF[text_of(row, "fact_type")],
            source="freshqa",
        )
        for row in asked
    ]
    situated = read_rows(data / "situatedqa" / "context_dependence.csv", columns=("context", "question", "dependent"))
    prompts += [
        LabelledPrompt(
            text_of(row, "question"),
            intent="retrieval" if place % EVERY == 0 else None,
            changes=text_of(row, "dependent") == "1",
            realtime=False,
            source="situatedqa",
        )
        for place, row in enumerate(situated)
        if row["context"] == "temp"
    ]
    for name in ("clinc150.csv.gz", "hwu64.csv", "banking77.csv.gz"):
        rows = read_rows(data / "intents" / name, columns=("intent", "text"))
        prompts += _of_intents(rows, name.partition(".")[0])
    return prompts


def _of_intents(rows: Sequence[Row], source: str) -> Iterator[LabelledPrompt]:
    """Map an intent to what it says about ours; intents about the asker's own affairs say nothing."""
    for place, row in enumerate(rows):
        intent, one = text_of(row, "intent"), LabelledPrompt(text_of(row, "text"), source=source)
        is_drawn = place % EVERY == 0
        if source == "banking77":
            if intent != "exchange_rate":
                yield replace(one, realtime=False, intent="retrieval" if is_drawn else None)
        elif intent in BY_THE_HOUR[source]:
            yield replace(one, realtime=True, intent="retrieval" if is_drawn else None)
        elif intent in SMALL_TALK[source]:
            yield replace(one, realtime=False, intent="chat")
        elif intent in LASTING[source]:
            yield replace(one, realtime=False, intent="retrieval" if is_drawn and intent not in NO_QUESTION else None)


def figures_of(prompts: Sequence[LabelledPrompt], fitted: FittedHeads) -> dict[str, Figures]:
    """Measure every head by the sets that it was fitted on, beside the rules."""
    figures: dict[str, Figures] = {name: dict(found) for name, found in fitted.figures.items()}
    figures |= _staleness(prompts, fitted)
    figures |= _realtime(prompts, fitted.out_of_fold["realtime"])
    for field in ("intent", "complexity"):
        figures |= _beside_rules(prompts, fitted.out_of_fold[field], field)
    return figures


def _staleness(prompts: Sequence[LabelledPrompt], fitted: FittedHeads) -> dict[str, Figures]:
    """Score FreshQA's three types: by the head alone, by the rules alone, and by the shorter life of the two.

    The rules, and the two together, are scored on all questions, also on those that have no vector.
    """
    found, realtime = fitted.out_of_fold["staleness"], fitted.out_of_fold["realtime"]
    classes = CLASSES["staleness"]
    is_fresh = np.array([prompts[row].source == "freshqa" for row in found.rows])
    labels, p = found.labels[is_fresh], found.p[is_fresh]
    head = dict(zip(found.rows[is_fresh].tolist(), [classes[place] for place in found.chosen[is_fresh]], strict=True))
    bypassed = set(realtime.rows[realtime.chosen == 1].tolist())
    every = [row for row, one in enumerate(prompts) if one.source == "freshqa"]
    truth = np.array([classes.index(str(prompts[row].staleness)) for row in every])
    rules = [judge_freshness(prompts[row].prompt).staleness for row in every]
    both = [shorter(one, cast("Staleness", head.get(row, one))) for row, one in zip(every, rules, strict=True)]
    both = ["realtime" if row in bypassed else one for row, one in zip(every, both, strict=True)]
    is_fast = labels == classes.index("daily")
    return {
        "freshqa by head": _of_three(list(head.values()), labels)
        | {
            "ece_timeless": _ece(p[:, 0], labels == 0),
            "ece_daily": _ece(p[:, 2], is_fast),
            "ece_likeliest": _ece(p.max(axis=1), p.argmax(axis=1) == labels),
            "auc_daily": round(auc(p[:, 2], is_fast), 4),
            "auc_timeless": round(auc(p[:, 0], labels == 0), 4),
        },
        "freshqa by the likeliest": _of_three([classes[place] for place in p.argmax(axis=1)], labels),
        "freshqa by rules": _of_three(rules, truth),
        "freshqa by head and rules": _of_three(both, truth),
    }


def _of_three(said: Sequence[str], labels: np.ndarray) -> Figures:
    """Score stalenesses against FreshQA's types, where "realtime" counts as the fast one."""
    picked = np.array([min(("timeless", "slow", "daily", "realtime").index(one), 2) for one in said])
    return {
        "rows": len(labels),
        "macro_f1": round(float(np.mean([f1(picked, labels, place) for place in range(3)])), 4),
        "accuracy": round(float((picked == labels).mean()), 4),
        "fast_recall": round(float((picked[labels == 2] == 2).mean()), 4),
        "fast_timeless": round(float((picked[labels == 2] == 0).mean()), 4),
        "never_daily": round(float((picked[labels == 0] == 2).mean()), 4),
        "never_bypassed": round(
            float(np.mean([said[place] == "realtime" for place in np.flatnonzero(labels == 0).tolist()])), 4
        ),
    }


def _realtime(prompts: Sequence[LabelledPrompt], found: OutOfFold) -> dict[str, Figures]:
    """Say how many of each set bypass the cache, of those that should and of the others: by rules, by the head too."""
    rules = np.array([judge_freshness(prompts[row].prompt).staleness == "realtime" for row in found.rows])
    sources = np.array([prompts[row].source for row in found.rows])
    figures: dict[str, Figures] = {}
    for source in dict.fromkeys(sources.tolist()):
        one: Figures = {}
        for label, what in ((1, "should"), (0, "should_not")):
            rows = (sources == source) & (found.labels == label)
            if rows.any():
                one |= {
                    f"{what}_rows": int(rows.sum()),
                    f"{what}_rules": round(float(rules[rows].mean()), 4),
                    f"{what}_head": round(float((found.chosen[rows] == 1).mean()), 4),
                    f"{what}_either": round(float((rules[rows] | (found.chosen[rows] == 1)).mean()), 4),
                }
        figures[f"bypass in {source}"] = one
    return figures


def _beside_rules(prompts: Sequence[LabelledPrompt], found: OutOfFold, field: str) -> dict[str, Figures]:
    """Score one field on each set by the head and by the rules."""
    classes = CLASSES[field]
    decided = [decide(prompts[row].prompt) for row in found.rows]
    rules = np.array([classes.index(one.intent if field == "intent" else one.complexity) for one in decided])
    sources = np.array([prompts[row].source for row in found.rows])
    figures: dict[str, Figures] = {}
    for source in dict.fromkeys(sources.tolist()):
        rows = sources == source
        one: Figures = {
            "rows": int(rows.sum()),
            "head": round(float((found.chosen[rows] == found.labels[rows]).mean()), 4),
            "rules": round(float((rules[rows] == found.labels[rows]).mean()), 4),
            "ece": _ece(found.p[rows].max(axis=1), found.p[rows].argmax(axis=1) == found.labels[rows]),
        }
        for place, name in enumerate(classes):
            of_class = rows & (found.labels == place)
            if of_class.any():
                one[f"{name}_head"] = round(float((found.chosen[of_class] == place).mean()), 4)
                one[f"{name}_rules"] = round(float((rules[of_class] == place).mean()), 4)
        figures[f"{field} in {source}"] = one
    return figures


def _ece(p: np.ndarray, happened: np.ndarray) -> float:
    """Return the expected calibration error over ten bins of equal width."""
    places = np.minimum((p * 10).astype(int), 9)
    gaps = [abs(float(p[places == one].sum() - happened[places == one].sum())) for one in range(10)]
    return round(sum(gaps) / len(p), 4)


def cost_of(
    told: Mapping[str, JSON], prompts: Sequence[LabelledPrompt], embedder: KeptEmbedder, n: int = 2_000
) -> Figures:
    """Measure how long a prediction takes, in milliseconds, with the vector at hand, without and with the rules."""
    heads = load(told, embedder=embedder.identity)
    texts = [fold(one.prompt) for one in prompts[:: max(1, len(prompts) // n)]]
    texts = [text for text in texts if embedder.fits(text)]
    vectors = embedder.embed(texts)
    known = [decide(text) for text in texts]
    alone = [_timed(lambda i=i: heads.predict(vectors[i], texts[i], known[i])) for i in range(len(texts))]  # type: ignore[misc]  # a lambda with a default has no type
    whole = [_timed(lambda i=i: heads.predict(vectors[i], texts[i])) for i in range(len(texts))]  # type: ignore[misc]  # as above
    return {
        "predictions": len(texts),
        "heads_p50_ms": round(float(np.percentile(alone, 50)), 4),
        "heads_p99_ms": round(float(np.percentile(alone, 99)), 4),
        "with_rules_p50_ms": round(float(np.percentile(whole, 50)), 4),
        "with_rules_p99_ms": round(float(np.percentile(whole, 99)), 4),
    }


def shares_of(told: Mapping[str, JSON], named: str, embedder: KeptEmbedder) -> Figures:
    """Say how heads and rules share out prompts without labels; `named` is FILE:COLUMN. Raises ConfigError."""
    path, _, column = named.rpartition(":")
    texts = [text_of(row, column) for row in read_rows(Path(path), columns=(column,), limit=MOST_OTHERS)]
    texts = [text for text in texts if embedder.fits(fold(text))]
    embedder.prepare([fold(text) for text in texts], _track)
    heads = load(told, embedder=embedder.identity)
    vectors = embedder.embed([fold(text) for text in texts])
    said = [heads.predict(vector, text) for vector, text in zip(vectors, texts, strict=True)]
    figures: Figures = {"rows": len(said)}
    for field in ("intent", "complexity", "staleness"):
        by_heads = Counter(str(getattr(one, field)) for one in said)
        by_rules = Counter(str(getattr(one.rules, field)) for one in said)
        for name in get_args({"intent": Intent, "complexity": Complexity, "staleness": Staleness}[field]):
            figures[f"{name}_heads"] = round(by_heads[name] / len(said), 4)
            figures[f"{name}_rules"] = round(by_rules[name] / len(said), 4)
    return figures


def _timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1_000.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit, measure, print the figures and, where asked to, write the heads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder of the labelled sets")
    parser.add_argument("--vectors", type=Path, help="keep the vectors in this .npz file, for the next run")
    parser.add_argument("--out", type=Path, help="write the heads to this file, as JSON")
    parser.add_argument(
        "--others", nargs="*", default=[], metavar="FILE:COLUMN", help="also share out prompts that have no labels"
    )
    parser.add_argument("--seed", type=int, default=0, help="which folds (default: 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    options = parser.parse_args(arguments)
    prompts = read(options.data)
    embedder = KeptEmbedder(OnnxEmbedder(use_hub=False), options.vectors)
    embedder.prepare([fold(one.prompt) for one in prompts], _track)
    fitted = fit_heads(prompts, embedder, progress=_track, seed=options.seed)
    figures = figures_of(prompts, fitted) | {"cost": cost_of(fitted.told, prompts, embedder)}
    figures |= {
        f"shares of {Path(named.rpartition(':')[0]).name}": shares_of(fitted.told, named, embedder)
        for named in options.others
    }
    if options.out is not None:
        options.out.write_text(json.dumps(fitted.told, separators=(",", ":")) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(figures))
        return 0
    for name, measured in figures.items():
        print(name)
        for figure, value in measured.items():
            print(f"  {figure:24} {value:.4g}")
    return 0


def _track(items: Sequence[T], what: str) -> Iterator[T]:
    return progress(items, what, len(items))


if __name__ == "__main__":
    sys.exit(main())
