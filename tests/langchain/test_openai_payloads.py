"""The payload forms of langchain-openai, replayed from cassettes (see cassettes/README.md)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessage, BaseMessage
from langchain_openai import ChatOpenAI
from langchain_semroute import cached
from pydantic import BaseModel
from vcr import VCR

from semroute import SemanticCache

CASSETTES = Path(__file__).parent / "cassettes"
RECORDED_AT = "http://127.0.0.1:8089/v1"
RERECORD = "RERECORD_CASSETTES"
FILTERED = ["authorization", "cookie", "user-agent", "x-stainless-runtime-version", "x-stainless-os"]

Ask = Callable[[Any], Any]


class Definition(BaseModel):
    """What a word means."""

    word: str
    meaning: str


TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Look a word up.",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    },
}


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Replay the cassette of the running test; with RERECORD_CASSETTES set, record it from the loopback server."""
    mode = "all" if os.environ.get(RERECORD) else "none"
    recorder = VCR(
        cassette_library_dir=str(CASSETTES),
        record_mode=mode,
        match_on=["method", "path", "body"],
        filter_headers=FILTERED,
        before_record_response=_without_clock,
        decode_compressed_response=True,
    )
    with recorder.use_cassette(f"{request.node.originalname.removeprefix('test_')}.yaml") as played:
        yield played


def _without_clock(response: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in response["headers"].items() if name.lower() == "content-type"}
    return {**response, "headers": kept}


@pytest.fixture
def model(cassette: Any, cache: SemanticCache, request: pytest.FixtureRequest) -> ChatOpenAI:
    url = request.getfixturevalue("openai_server").url if os.environ.get(RERECORD) else RECORDED_AT
    plain = ChatOpenAI(
        model="gpt-4o-mini", base_url=url, api_key="sk-test", temperature=0, max_retries=0, stream_usage=True
    )
    return cached(plain, cache)


def tier(message: BaseMessage) -> str:
    return str(message.response_metadata["semroute"]["tier"])


def test_text(model: ChatOpenAI, cassette: Any) -> None:
    fresh, hit = model.invoke("What is a ring?"), model.invoke("What is a ring?")
    assert (tier(fresh), tier(hit)) == ("miss", "l1")
    assert hit.content == fresh.content == "You asked: What is a ring? Here is more."
    assert fresh.usage_metadata is not None
    assert hit.response_metadata["semroute"]["saved"]["tokens"] == fresh.usage_metadata["total_tokens"]
    assert hit.response_metadata["model_name"] == fresh.response_metadata["model_name"] == "gpt-4o-mini"
    assert cassette.play_count <= 1


def test_stream(model: ChatOpenAI, cassette: Any) -> None:
    fresh, again = list(model.stream("What is a ring?")), list(model.stream("What is a ring?"))
    assert len(fresh) > 5
    assert "".join(chunk.text for chunk in again) == "".join(chunk.text for chunk in fresh)
    hit = model.invoke("What is a ring?")
    assert hit.response_metadata["finish_reason"] == "stop"
    assert hit.response_metadata["semroute"]["saved"]["tokens"] > 0
    assert cassette.play_count <= 1


def test_tool_call(model: ChatOpenAI, cassette: Any) -> None:
    agent = model.bind_tools([TOOL])
    fresh, hit = agent.invoke("Look up 'ring'"), agent.invoke("Look up 'ring'")
    assert fresh.tool_calls[0]["args"] == hit.tool_calls[0]["args"] == {"word": "ring"}
    assert fresh.tool_calls[0]["id"] != hit.tool_calls[0]["id"]
    assert tier(hit) == "l1"
    assert tier(agent.invoke("look up 'ring'")) == "miss", "tool calls are never served by meaning"


def test_json_schema(model: ChatOpenAI, cassette: Any) -> None:
    structured = model.with_structured_output(Definition, include_raw=True)
    fresh, hit = structured.invoke("Define 'ring'"), structured.invoke("Define 'ring'")
    assert fresh["parsed"] == hit["parsed"] == Definition(word="ring", meaning="ring")
    assert tier(hit["raw"]) == "l1"
    assert cassette.play_count <= 1


@pytest.mark.parametrize("words", ["REFUSE this, please", "TRUNCATE this, please", "FILTER this, please"])
def test_incomplete(model: ChatOpenAI, cassette: Any, cache: SemanticCache, words: str) -> None:
    answers = [model.invoke(words) for _ in range(2)]
    assert [tier(answer) for answer in answers] == ["miss", "miss"]
    assert cache.size().entries == 0


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize(("status", "error"), [(429, openai.RateLimitError), (500, openai.InternalServerError)])
def test_errors(
    model: ChatOpenAI, cassette: Any, cache: SemanticCache, status: int, error: type[Exception], streams: bool
) -> None:
    def ask(words: str) -> AIMessage | list[Any]:
        return list(model.stream(words)) if streams else model.invoke(words)

    for _ in range(2):
        with pytest.raises(error):
            ask(f"Answer with STATUS {status}")
    assert cache.size().entries == 0
    assert len(cache.flights) == 0


def test_no_cassette_holds_a_key() -> None:
    kept = [path.read_text(encoding="utf-8") for path in CASSETTES.glob("*.yaml")]
    assert len(kept) == 6
    assert not any("authorization" in text.lower() or "sk-test" in text for text in kept)
    assert all(len(text) < 40_000 for text in kept)
