"""What is kept of an answer, and what a hit looks like."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, AIMessageChunk, ChatMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, Generation
from langchain_semroute import SemrouteCache

from semroute import Answer

PROMPT = dumps([HumanMessage("What are cats?")])
LLM = "a model"
CALL = {"name": "search", "args": {"q": "cats"}, "id": "call_abcdefghijkl", "type": "tool_call"}


def served(cache: SemrouteCache, *generations: Generation) -> list[Any]:
    cache.update(PROMPT, LLM, list(generations))
    found = cache.lookup(PROMPT, LLM)
    assert found is not None
    return found


def chat(**fields: Any) -> ChatGeneration:
    return ChatGeneration(message=AIMessage(**{"content": "Animals.", **fields}))


def test_a_hit_is_a_list_of_fresh_objects(lc_cache: SemrouteCache) -> None:
    given = chat(id="lc_run--1")
    first = served(lc_cache, given)
    first[0].message.content = "spoilt"
    given.message.content = "spoilt too"
    second = lc_cache.lookup(PROMPT, LLM)
    assert type(second) is list
    assert second[0].text == "Animals."
    assert len({given.message.id, first[0].message.id, second[0].message.id}) == 3


def test_a_hit_says_so_in_its_response_metadata_only(lc_cache: SemrouteCache) -> None:
    given = ChatGeneration(message=AIMessage("Animals."), generation_info={"finish_reason": "stop"})
    hit = served(lc_cache, given)[0]
    marker = hit.message.response_metadata["semroute"]
    assert marker["tier"] == "l1"
    assert marker["hit_id"]
    assert json.loads(json.dumps(marker)) == marker
    assert hit.generation_info == {"finish_reason": "stop"}
    assert hit.message.additional_kwargs == {}


USED = {
    "input_tokens": 3,
    "output_tokens": 5,
    "total_tokens": 8,
    "input_token_details": {"cache_read": 2},
}


def test_usage_is_not_counted_twice_and_not_lost(lc_cache: SemrouteCache) -> None:
    counted = {"usage_metadata": USED, "response_metadata": {"token_usage": {"total_tokens": 8}, "model_name": "m"}}
    message = served(lc_cache, chat(**counted))[0].message
    zeros = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0, "input_token_details": {"cache_read": 0}}
    assert message.usage_metadata == zeros
    assert message.response_metadata["token_usage"] == {"total_tokens": 0}
    assert message.response_metadata["model_name"] == "m"
    assert message.response_metadata["semroute"]["saved_usage"] == USED
    assert message.response_metadata["semroute"]["saved"]["tokens"] == 8


def test_usage_can_be_kept(lc_cache: SemrouteCache) -> None:
    keeping = SemrouteCache(cache=lc_cache.core, usage="keep")
    assert served(keeping, chat(usage_metadata=USED))[0].message.usage_metadata == USED


def test_ids_of_tool_calls_are_new_and_agree_everywhere(lc_cache: SemrouteCache) -> None:
    content = [{"type": "text", "text": "So", "id": "msg_1"}, {"type": "tool_use", "id": CALL["id"], "name": "search"}]
    raw = {"tool_calls": [{"id": CALL["id"], "type": "function", "function": {"name": "search", "arguments": "{}"}}]}
    message = served(lc_cache, chat(content=content, tool_calls=[CALL], additional_kwargs=raw))[0].message
    new = message.tool_calls[0]["id"]
    assert new != CALL["id"]
    assert new.startswith("call_")
    assert len(new) == len(CALL["id"])
    assert message.additional_kwargs["tool_calls"][0]["id"] == new
    assert message.content[1]["id"] == new
    assert "id" not in message.content[0]
    assert {**message.tool_calls[0], "id": None} == {**CALL, "id": None}


def test_item_ids_of_the_responses_api_are_dropped(lc_cache: SemrouteCache) -> None:
    content = [
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "id": "fc_1", "call_id": CALL["id"], "name": "search", "arguments": "{}"},
        {"type": "tool_call", "id": CALL["id"], "name": "search", "args": {}, "extras": {"item_id": "fc_1"}},
    ]
    extra = {"reasoning": {"id": "rs_1", "summary": []}, "__openai_function_call_ids__": {CALL["id"]: "fc_1"}}
    given = chat(content=content, tool_calls=[CALL], additional_kwargs=extra, response_metadata={"id": "resp_1"})
    text = served(lc_cache, given)[0].model_dump_json()
    assert [item for item in ("rs_1", "fc_1", "resp_1", CALL["id"]) if item in text] == []


def test_several_generations_come_back_together(lc_cache: SemrouteCache) -> None:
    first, second = served(lc_cache, chat(), chat(content="Pets."))
    assert (first.text, second.text) == ("Animals.", "Pets.")


def test_text_generations_come_back_as_they_were(lc_cache: SemrouteCache) -> None:
    given = Generation(text="Animals.", generation_info={"finish_reason": "stop", "logprobs": [0.5]})
    assert served(lc_cache, given) == [given]


def test_a_parsed_object_survives_as_its_fields(lc_cache: SemrouteCache) -> None:
    message = served(lc_cache, chat(additional_kwargs={"parsed": {"a": 1}}))[0].message
    assert message.additional_kwargs["parsed"] == {"a": 1}


def test_metadata_that_is_no_json_is_written_as_text(lc_cache: SemrouteCache) -> None:
    made_at = datetime(2026, 1, 2, tzinfo=UTC)
    message = served(lc_cache, chat(response_metadata={"made_at": made_at, "thing": object()}))[0].message
    assert message.response_metadata["made_at"].startswith("2026-01-02T00:00:00")


def test_a_stream_that_was_merged_comes_back_as_a_message(lc_cache: SemrouteCache) -> None:
    hit = served(lc_cache, ChatGeneration(message=AIMessageChunk("Animals.", chunk_position="last")))[0]
    assert type(hit.message) is AIMessage


INCOMPLETE = {
    "openai": {"response_metadata": {"finish_reason": "length"}},
    "filtered": {"response_metadata": {"finish_reason": "content_filter"}},
    "anthropic": {"response_metadata": {"stop_reason": "max_tokens"}},
    "bedrock": {"response_metadata": {"stopReason": "max_tokens"}},
    "google": {"response_metadata": {"finish_reason": "MAX_TOKENS"}},
    "ollama": {"response_metadata": {"done_reason": "length"}},
    "responses": {"response_metadata": {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}},
    "refusal": {"additional_kwargs": {"refusal": "I will not."}},
    "refusal block": {"content": [{"type": "refusal", "refusal": "I will not."}, {"type": "text", "text": "No."}]},
    "empty": {"content": ""},
}


@pytest.mark.parametrize("fields", INCOMPLETE.values(), ids=INCOMPLETE)
def test_what_is_no_complete_answer_is_not_kept(lc_cache: SemrouteCache, fields: dict[str, Any]) -> None:
    lc_cache.update(PROMPT, LLM, [chat(**fields)])
    lc_cache.update(PROMPT, LLM, [chat(), chat(**fields)])
    assert lc_cache.lookup(PROMPT, LLM) is None


@pytest.mark.parametrize("key", ["finish_reason", "stop_reason", "stopReason", "done_reason"])
def test_a_complete_answer_is_kept_whatever_its_provider_calls_the_end(lc_cache: SemrouteCache, key: str) -> None:
    assert served(lc_cache, chat(response_metadata={key: "stop"}))


def test_a_finish_reason_in_generation_info_counts(lc_cache: SemrouteCache) -> None:
    lc_cache.update(PROMPT, LLM, [Generation(text="Anim", generation_info={"finish_reason": "length"})])
    assert lc_cache.lookup(PROMPT, LLM) is None


def test_a_message_that_is_no_ais_is_not_kept(lc_cache: SemrouteCache) -> None:
    lc_cache.update(PROMPT, LLM, [ChatGeneration(message=ChatMessage(role="x", content="Animals."))])
    lc_cache.update(PROMPT, LLM, [])
    assert lc_cache.lookup(PROMPT, LLM) is None


DAMAGED: dict[str, Any] = {
    "nothing": None,
    "a text": "Animals.",
    "another version": {"v": 99, "generations": [{"text": "x", "info": None}]},
    "no list": {"v": 1, "generations": {}},
    "empty": {"v": 1, "generations": []},
    "no text": {"v": 1, "generations": [{"info": None}]},
    "no message": {"v": 1, "generations": [{"message": {"content": 7}}]},
    "info no object": {"v": 1, "generations": [{"text": "x", "info": [1]}]},
}


@pytest.mark.parametrize("payload", DAMAGED.values(), ids=DAMAGED)
def test_a_payload_that_cannot_be_read_is_a_miss(lc_cache: SemrouteCache, payload: Any) -> None:
    served(lc_cache, chat())
    request = lc_cache.asker.of_strings(PROMPT, LLM, lc_cache._identities)
    lc_cache.core.update(request, Answer("Animals.", payload=payload))
    assert lc_cache.lookup(PROMPT, LLM) is None


def test_a_hit_says_how_long_the_first_call_took(lc_cache: SemrouteCache) -> None:
    assert lc_cache.lookup(PROMPT, LLM) is None
    marker = served(lc_cache, chat())[0].message.response_metadata["semroute"]
    assert 0 < marker["saved"]["seconds"] < 60


def test_a_marker_is_never_stored(lc_cache: SemrouteCache) -> None:
    hit = served(lc_cache, chat(response_metadata={"semroute": {"tier": "miss", "old": True}}))[0]
    assert "old" not in hit.message.response_metadata["semroute"]
