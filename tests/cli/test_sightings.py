"""What the demo tells of a trap: the look-alike, and what kept its answer back."""

from __future__ import annotations

import pytest

from semroute.cli.sightings import Sighting, sightings, telling_examples

from .replaying import replayed, row

EXPORT_3 = row("How do I export tasks in version 3 of the app?", "export-3")


def seen_in(*rows: object) -> list[Sighting]:
    report = replayed(rows)  # type: ignore[arg-type]  # rows of any shape the test writes
    return sightings(report.outcomes, report.guards)


def test_a_refused_candidate_is_told_with_its_guard() -> None:
    trap = row("How do I export tasks in version 4 of the app?", "export-4", trap=True, kind="number")
    (sighting,) = seen_in(EXPORT_3, trap)
    assert sighting.look_alike == EXPORT_3.query
    assert "4" in sighting.saw
    assert "3" in sighting.saw
    assert "numbers guard" in sighting.by


@pytest.mark.parametrize(
    ("change", "saw"),
    [
        ({"tenant": "b"}, "another tenant"),
        ({"system": "Be brief."}, "another system prompt"),
        ({"model": "large"}, "another model"),
    ],
)
def test_the_same_words_in_another_context_are_out_of_reach(change: dict[str, str], saw: str) -> None:
    asked = row("Which cards do you take?", "a", tenant="a")
    trap = asked.model_copy(update={"answer_class": "b", "trap": True, **change})
    (sighting,) = seen_in(asked, trap)
    assert (sighting.saw, sighting.by) == (saw, "out of reach")
    assert sighting.look_alike == asked.query


def test_a_bypass_is_told_with_its_rule() -> None:
    asked = row("What is the weather in Paris?", "w-1")
    (sighting,) = seen_in(asked, row("What is the weather in Paris right now?", "w-2", trap=True, kind="time"))
    assert sighting.by == "never cached"
    assert "now" in sighting.saw


def test_a_first_request_that_is_called_a_trap_is_told_without_a_look_alike() -> None:
    (sighting,) = seen_in(row("Which cards do you take?", "a", trap=True))
    assert sighting.look_alike == ""


def test_requests_that_are_no_traps_are_not_told_of() -> None:
    assert seen_in(EXPORT_3, EXPORT_3) == []


def test_one_example_of_each_kind_is_chosen_and_one_that_fits() -> None:
    long = row("How do I " + "really " * 20 + "export tasks in version 5?", "export-5", trap=True, kind="number")
    short = row("How do I export tasks in version 4 of the app?", "export-4", trap=True, kind="number")
    (example,) = telling_examples(seen_in(EXPORT_3, long, short), max_characters=60)
    assert example.query == short.query
