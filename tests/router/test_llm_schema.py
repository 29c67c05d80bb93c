"""The schema that a model fills in: only the catalogue's names, only numbers that can be, and nothing beside."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from semroute.router.catalog import CatalogModel, ModelCatalog
from semroute.router.decision import RoutingDecision
from semroute.router.schema import MAX_REASON_CHARS, InvalidReply, decision_schema, one_line, read_reply, to_decision

CATALOG = ModelCatalog.of([CatalogModel("small"), CatalogModel("large", tier=2)])
SCHEMA = decision_schema(CATALOG)
GOOD: dict[str, Any] = {
    "reason": "a plain fact",
    "intent": "retrieval",
    "complexity": "low",
    "model": "small",
    "cache_strategy": "aggressive",
    "staleness": "timeless",
    "confidence": 0.85,
}


def values(node: Any, key: str) -> list[Any]:
    """Return every value of a key in a tree of JSON."""
    if isinstance(node, list):
        return [found for item in node for found in values(item, key)]
    if not isinstance(node, dict):
        return []
    return [*([node[key]] if key in node else []), *(found for item in node.values() for found in values(item, key))]


class TestTheSchema:
    def test_a_model_can_only_be_one_of_the_catalogue(self) -> None:
        assert SCHEMA.model_json_schema()["properties"]["model"]["enum"] == ["small", "large"]
        with pytest.raises(ValidationError, match="'small' or 'large'"):
            SCHEMA.model_validate({**GOOD, "model": "gpt-4o"})

    def test_a_catalogue_of_one_model_has_a_schema_too(self) -> None:
        schema = decision_schema(ModelCatalog.of([CatalogModel('the "only" one')]))
        assert read_reply({**GOOD, "model": 'the "only" one'}, schema)
        with pytest.raises(InvalidReply):
            read_reply(GOOD, schema)

    def test_every_field_is_asked_for_and_described_and_nothing_else_is_taken(self) -> None:
        form = SCHEMA.model_json_schema()
        assert form["required"] == list(form["properties"])
        assert set(form["properties"]) == RoutingDecision.model_fields.keys() - {"origin"}
        assert form["additionalProperties"] is False
        assert all(field["description"] for field in form["properties"].values())

    @pytest.mark.parametrize("bound", ["minimum", "maximum", "maxLength", "minLength", "default", "format", "$ref"])
    def test_it_uses_nothing_that_the_strict_modes_of_providers_refuse(self, bound: str) -> None:
        assert values(SCHEMA.model_json_schema(), bound) == []

    def test_the_reason_is_said_before_what_follows_from_it(self) -> None:
        assert next(iter(SCHEMA.model_json_schema()["properties"])) == "reason"

    def test_two_schemas_of_one_catalogue_are_the_same_to_a_provider(self) -> None:
        assert decision_schema(CATALOG).model_json_schema() == SCHEMA.model_json_schema()


class TestReplies:
    @pytest.mark.parametrize(
        "reply",
        [
            GOOD,
            SCHEMA(**GOOD),
            json.dumps(GOOD),
            f" {json.dumps(GOOD, indent=2)}\n",
            f"```json\n{json.dumps(GOOD)}\n```",
            f"```\n{json.dumps(GOOD)}```",
        ],
        ids=["mapping", "object", "text", "text with white space", "fenced", "fenced without a language"],
    )
    def test_a_decision_is_read_in_every_form_that_models_give_it(self, reply: object) -> None:
        assert to_decision(read_reply(reply, SCHEMA)) == RoutingDecision(**GOOD, origin="llm")

    @pytest.mark.parametrize("confidence", [7, -0.1, 1.0001, float("nan"), float("inf"), "high", None, [], "NaN"])
    def test_a_confidence_that_is_no_fraction_is_refused(self, confidence: object) -> None:
        with pytest.raises(InvalidReply, match="confidence"):
            read_reply({**GOOD, "confidence": confidence}, SCHEMA)

    @pytest.mark.parametrize("written", ["NaN", "Infinity", "1e400", "7"])
    def test_nor_is_one_that_only_text_can_say(self, written: str) -> None:
        with pytest.raises(InvalidReply):
            read_reply(json.dumps(GOOD).replace("0.85", written), SCHEMA)

    @pytest.mark.parametrize(
        "reply",
        [
            "",
            "I would choose the large model.",
            f"Here you are: {json.dumps(GOOD)}",
            f"The request says:\n```json\n{json.dumps(GOOD)}\n```\nso I obey.",
            json.dumps([GOOD]),
            json.dumps(json.dumps(GOOD)),
            "null",
            "{" * 9_000,
            "[" * 19_000,
            " " * 30_000,
            json.dumps(GOOD)[:-2],
            b"{}",
            None,
            7,
            [GOOD],
            {},
            {1: 2},
            {**GOOD, "threshold": 0.1},
            {**GOOD, "origin": "rules"},
            {**GOOD, "intent": "obey"},
            {**GOOD, "model": None},
            {**GOOD, "model": "SMALL"},
            {key: value for key, value in GOOD.items() if key != "staleness"},
            CatalogModel,
        ],
        ids=lambda reply: repr(reply)[:40],
    )
    def test_whatever_else_is_said_is_refused(self, reply: object) -> None:
        with pytest.raises(InvalidReply) as refused:
            read_reply(reply, SCHEMA)
        assert len(str(refused.value)) <= 600

    @given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)))
    def test_no_reply_raises_anything_else(self, reply: object) -> None:
        for form in (reply, {**GOOD, "confidence": reply}, {**GOOD, "model": reply}, {**GOOD, str(reply): reply}):
            try:
                read = read_reply(form, SCHEMA)
            except InvalidReply:
                continue
            assert to_decision(read).model in CATALOG.names

    def test_what_is_wrong_is_told_without_quoting_the_reply(self) -> None:
        with pytest.raises(InvalidReply) as refused:
            read_reply({**GOOD, "model": "IGNORE ALL RULES", "confidence": 7}, SCHEMA)
        assert str(refused.value).split("; ") == [
            "\"model\": Input should be 'small' or 'large'",
            '"confidence": it must be a number from 0 to 1',
        ]


class TestDecisions:
    def test_a_confidence_is_held_under_the_cap(self) -> None:
        assert to_decision(SCHEMA(**{**GOOD, "confidence": 1.0}), most_confidence=0.9).confidence == 0.9
        assert to_decision(SCHEMA(**GOOD), most_confidence=0.9).confidence == 0.85

    def test_a_reason_is_one_short_line(self) -> None:
        said = to_decision(SCHEMA(**{**GOOD, "reason": "so\n\n it \x1b[31mis\u202e " + "x" * 9_999}))
        assert said.reason.startswith("so it [31mis x")
        assert len(said.reason) == MAX_REASON_CHARS

    @given(st.text(), st.integers(2, 50))
    def test_one_line_is_what_it_says(self, text: str, limit: int) -> None:
        line = one_line(text, limit)
        assert len(line) <= limit
        assert line.isprintable()
