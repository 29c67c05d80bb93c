"""What a cached LLM compares of a conversation, and which words of it by meaning."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    ChatMessage,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.prompts import (
    ChatPromptTemplate,
    PromptTemplate,
    SelectorPromptTemplate,
    chat_prompts,
    default_prompts,
)
from llama_index.llms.openai import OpenAI
from llama_index_semroute._llm_templates import question_in
from llama_index_semroute._messages import extras, of_messages
from llama_index_semroute.cached_llm import cached

import semroute
from semroute import SemanticCache
from semroute.calls.values import Unsure
from semroute.freshness import judge_freshness
from semroute.testing.clock import FakeClock
from tests.langchain.openai_stub import OpenAIStub
from tests.llama_index.parts import Parrot, tier, user

ASKED = "What is the capital of France?"
IN_OTHER_WORDS = "what is the capital of france"
"""For the embedder of these tests the very same vector."""
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)


def test_a_conversation_that_was_rebuilt_from_its_text_is_the_same_one() -> None:
    call = ToolCallBlock(tool_call_id="call_1", tool_name="add", tool_kwargs='{"a": 1, "b": 2}')
    told = [
        *user(ASKED),
        ChatMessage(role="assistant", blocks=[ThinkingBlock(content="hm"), call], additional_kwargs={"usage": 3}),
        ChatMessage(role="tool", content="3", additional_kwargs={"tool_call_id": "call_1", "name": "add"}),
        ChatMessage(role="assistant", blocks=[TextBlock(text="3"), CachePoint(cache_control={"type": "x"})]),
    ]
    again = [
        *user(ASKED),
        ChatMessage(
            role="assistant",
            blocks=[ToolCallBlock(tool_call_id="call_9", tool_name="add", tool_kwargs={"b": 2, "a": 1})],
            additional_kwargs={"tool_calls": [{"id": "call_9"}], "prompt_tokens": 7},
        ),
        ChatMessage(role="tool", content="3", additional_kwargs={"tool_call_id": "call_9", "name": "add"}),
        ChatMessage(role="assistant", content="3", additional_kwargs={"id": "msg_1"}),
    ]
    assert of_messages(told) == of_messages(again)
    assert extras(told) == extras(again) == {}


def test_tool_calls_of_older_integrations_are_read_where_they_stand() -> None:
    arguments = json.dumps({"a": 1})
    block = ChatMessage(role="assistant", blocks=[ToolCallBlock(tool_name="add", tool_kwargs={"a": 1})])
    for call in (
        {"id": "x", "function": {"name": "add", "arguments": arguments}},
        {"tool_id": "x", "tool_name": "add", "tool_kwargs": {"a": 1}},
        {"id": "x", "name": "add", "input": {"a": 1}},
    ):
        older = ChatMessage(role="assistant", additional_kwargs={"tool_calls": [call]})
        assert of_messages([older]) == of_messages([block])
    oldest = ChatMessage(role="assistant", additional_kwargs={"function_call": {"name": "add", "arguments": arguments}})
    assert of_messages([oldest]) == of_messages([block])


@pytest.mark.parametrize(
    "other",
    [
        ChatMessage(role="system", content="What is it?"),
        ChatMessage(role="user", content="What is this?"),
        ChatMessage(role="user", content="What is it?", additional_kwargs={"name": "Ann"}),
        ChatMessage(role="user", blocks=[TextBlock(text="What is it?"), ImageBlock(image=PNG)]),
        ChatMessage(role="user", blocks=[ImageBlock(image=PNG), TextBlock(text="What is it?")]),
        ChatMessage(role="user", blocks=[TextBlock(text="What is it?"), ImageBlock(image=PNG + b"other")]),
        ChatMessage(role="user", blocks=[TextBlock(text="What is it?"), ImageBlock(url="https://host/a.png")]),
        ChatMessage(role="user", blocks=[TextBlock(text="What is it?"), AudioBlock(audio=b"la", format="mp3")]),
        ChatMessage(role="user", blocks=[TextBlock(text="What is it?"), DocumentBlock(data=b"doc", title="a.txt")]),
        ChatMessage(
            role="assistant", blocks=[TextBlock(text="What is it?"), ToolCallBlock(tool_name="look", tool_kwargs={})]
        ),
    ],
)
def test_what_is_told_otherwise_is_another_conversation(other: ChatMessage) -> None:
    assert of_messages([other]) != of_messages(user("What is it?"))


def test_what_else_a_message_tells_is_compared_too(parrot: Parrot, cache: SemanticCache) -> None:
    llm = cached(parrot, cache)
    llm.chat(user(ASKED))
    marked = [ChatMessage(role="user", content=ASKED, additional_kwargs={"weight": 0})]
    assert tier(llm.chat(marked)) == "miss"
    assert tier(llm.chat(marked)) == "l1"
    unreadable = [ChatMessage(role="user", content=ASKED, additional_kwargs={"weight": object()})]
    assert "semroute" not in llm.chat(unreadable).additional_kwargs


def test_a_file_counts_by_its_content(tmp_path: Path) -> None:
    path, other = tmp_path / "a.png", tmp_path / "b.png"
    path.write_bytes(PNG)
    first = of_messages([ChatMessage(role="user", blocks=[ImageBlock(path=path)])])
    assert of_messages([ChatMessage(role="user", blocks=[ImageBlock(path=path)])]) == first
    message = [ChatMessage(role="user", blocks=[ImageBlock(path=path)])]
    path.write_bytes(PNG + b"changed")
    assert of_messages(message) != first
    path.rename(other)
    with pytest.raises(Unsure, match="file that cannot be read"):
        of_messages(message)


def test_a_stream_of_bytes_is_left_where_it_was() -> None:
    buffer = BytesIO(PNG)
    message = [ChatMessage(role="user", blocks=[ImageBlock(image=buffer)])]
    assert of_messages(message) == of_messages(message)
    assert buffer.read() == PNG


def test_images_are_served_to_the_very_same_prompt_only(parrot: Parrot, trusting_core: SemanticCache) -> None:
    def shown(text: str) -> list[ChatMessage]:
        return [ChatMessage(role="user", blocks=[TextBlock(text=text), ImageBlock(image=PNG)])]

    llm = cached(parrot, trusting_core)
    llm.chat(shown(ASKED))
    assert tier(llm.chat(shown(IN_OTHER_WORDS))) == "miss"
    assert tier(llm.chat(shown(ASKED))) == "l1"


# --- which words are compared by meaning ---------------------------------------------------------------------------

RENDERED = default_prompts.DEFAULT_TEXT_QA_PROMPT.format(context_str="Paris is the capital.", query_str=ASKED)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (RENDERED, RENDERED.replace(ASKED, IN_OTHER_WORDS)),
        (f"Some passage.\n\n{ASKED}", f"Some passage.\n\n{IN_OTHER_WORDS}"),
    ],
    ids=["a default template", "several paragraphs"],
)
def test_a_rendered_prompt_is_served_to_the_very_same_one_only(
    parrot: Parrot, trusting_core: SemanticCache, first: str, second: str
) -> None:
    llm = cached(parrot, trusting_core)
    for call in (lambda text: llm.chat(user(text)), llm.complete):
        assert tier(call(first)) == "miss"
        assert tier(call(second)) == "miss"
        assert tier(call(first)) == "l1"


def templates() -> list[Any]:
    """Return the framework's templates that hold retrieved context, by name."""
    found = [*vars(default_prompts).items(), *vars(chat_prompts).items()]
    return [
        pytest.param(template, id=name)
        for name, template in found
        if isinstance(template, PromptTemplate | ChatPromptTemplate)
        and {"context_str", "context_msg"} & set(template.template_vars)
    ]


@pytest.mark.parametrize("template", templates())
def test_every_default_template_with_context_is_recognised(template: PromptTemplate | ChatPromptTemplate) -> None:
    filled = dict.fromkeys(template.template_vars, "ring")
    turns = template.format_messages(**filled)
    assert question_in(next(turn.content for turn in reversed(turns) if turn.role == "user")) is not None


@pytest.mark.parametrize(
    "text",
    [ASKED, f"{ASKED}\n", "one line\nand another one", "What does 'context information is below' mean?", "", "\n\n"],
)
def test_what_users_write_is_not_taken_for_a_template(text: str) -> None:
    assert question_in(text) is None


@given(st.text(alphabet="ab \n\t", max_size=20))
def test_a_blank_line_between_words_makes_paragraphs(text: str) -> None:
    lines = text.strip().split("\n")
    assert (question_in(text) is not None) == any(not line.strip() for line in lines[1:-1])


async def test_what_comes_through_predict_is_compared_in_full_only(
    parrot: Parrot, trusting_core: SemanticCache
) -> None:
    llm, template = cached(parrot, trusting_core), PromptTemplate("{question}")
    llm.predict(template, question=ASKED)
    assert len(parrot.calls) == 1
    asked_again = [
        llm.predict(template, question=ASKED),
        await llm.apredict(template, question=ASKED),
        "".join(llm.stream(template, question=ASKED)),
        "".join([token async for token in await llm.astream(template, question=ASKED)]),
    ]
    assert len(set(asked_again)) == 1
    assert len(parrot.calls) == 1
    llm.predict(template, question=IN_OTHER_WORDS)
    await llm.apredict(template, question=f"{IN_OTHER_WORDS} ")
    "".join(llm.stream(template, question=f"{IN_OTHER_WORDS}!"))
    assert len(parrot.calls) == 3, "a space more or less is the same question"
    assert tier(llm.chat(user(ASKED))) == "miss", "its question is no context there"


def test_a_model_that_is_none_of_chat_is_asked_to_complete(trusting_core: SemanticCache) -> None:
    llm, template = cached(Parrot(is_chat=False), trusting_core), PromptTemplate("{question}")
    for question in (ASKED, ASKED, IN_OTHER_WORDS):
        llm.predict(template, question=question)
    assert len(llm.calls) == 2


def test_the_application_may_name_the_words_in_a_template(parrot: Parrot, trusting_core: SemanticCache) -> None:
    template = default_prompts.DEFAULT_TEXT_QA_PROMPT
    llm = cached(parrot, trusting_core)

    def ask(question: str, passage: str = "Paris is the capital.") -> None:
        with semroute.scope(query=question):
            llm.predict(template, context_str=passage, query_str=question)

    ask(ASKED)
    ask(IN_OTHER_WORDS)
    assert len(parrot.calls) == 1
    ask(ASKED, passage="Lyon is the capital.")
    ask(IN_OTHER_WORDS, passage="Berlin is the capital.")
    assert len(parrot.calls) == 3


async def test_a_question_of_the_moment_in_a_template_is_not_kept(parrot: Parrot, cache: SemanticCache) -> None:
    llm, now = cached(parrot, cache), "What is the weather in Paris right now?"
    partial = PromptTemplate("Context: {context}. Query: {query_str}").partial_format(query_str=now)
    selected = SelectorPromptTemplate(PromptTemplate("Query: {question}"))
    for _ in range(2):
        llm.predict(partial, context="a long text about today")
        await llm.apredict(selected, question=now)
        "".join(llm.stream(selected, question=now))
        answer = llm.chat(user(f"A long text about today.\n\n{now}"))
        assert tier(answer) == "bypass"
        assert answer.additional_kwargs["semroute"]["why"] == ["time-sensitive: 'right now'"]
    assert cache.size().entries == 0
    llm.predict(PromptTemplate("{context}: {query_str}"), context="It is so today", query_str=ASKED)
    assert cache.size().entries == 1


def test_a_question_of_the_day_in_a_template_is_kept_for_an_hour(
    parrot: Parrot, cache: SemanticCache, clock: FakeClock
) -> None:
    llm, template = cached(parrot, cache), PromptTemplate("Query: {query_str}")
    question = "Who is top of the Premier League table this week?"
    assert judge_freshness(question).staleness == "daily"
    llm.predict(template, query_str=question)
    llm.predict(template, query_str=question)
    assert len(parrot.calls) == 1
    clock.advance(3_601)
    llm.predict(template, query_str=question)
    assert len(parrot.calls) == 2


def test_a_function_may_find_the_words(parrot: Parrot, trusting_core: SemanticCache) -> None:
    def words(messages: Any) -> str | None:
        text = messages[-1].content
        return text.partition("Question: ")[2] if "Question: " in text else None

    llm = cached(parrot, trusting_core, query=words)
    llm.chat(user(f"Passage\n\nQuestion: {ASKED}"))
    assert tier(llm.chat(user(f"Passage\n\nQuestion: {IN_OTHER_WORDS}"))) == "l2"
    assert tier(llm.chat(user(f"Another\n\nQuestion: {ASKED}"))) == "miss"
    llm.chat(user(ASKED))
    assert tier(llm.chat(user(IN_OTHER_WORDS))) == "l2"
    llm.complete(f"Passage\n\nQuestion: {ASKED}")
    assert tier(llm.complete(f"Passage\n\nQuestion: {IN_OTHER_WORDS}")) == "l2"


def test_a_function_that_fails_leaves_the_call_alone(
    parrot: Parrot, cache: SemanticCache, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(messages: Any) -> str:
        raise KeyError("no question")

    llm = cached(parrot, cache, query=broken)
    for _ in range(2):
        assert llm.chat(user(ASKED)).message.content is not None
    assert [record.levelno for record in caplog.records if record.levelno >= logging.WARNING] == [logging.WARNING]


def test_a_prompt_under_a_system_prompt_is_compared_within_it(parrot: Parrot, trusting_core: SemanticCache) -> None:
    def asked(system: str, question: str) -> str:
        return tier(llm.chat([ChatMessage(role="system", content=system), *user(question)]))

    llm = cached(parrot, trusting_core)
    assert asked("Context: Paris.", ASKED) == "miss"
    assert asked("Context: Paris.", IN_OTHER_WORDS) == "l2"
    assert asked("Context: Lyon.", ASKED) == "miss"


MakeOpenAI = Callable[..., OpenAI]


def test_nothing_of_two_openai_models_is_shared(
    make_openai: MakeOpenAI, stub: OpenAIStub, cache: SemanticCache
) -> None:
    variants: list[dict[str, Any]] = [
        *[{}, {"model": "gpt-4o"}, {"temperature": 0.3}, {"max_tokens": 9}, {"strict": True}],
        *[{"additional_kwargs": {"seed": 1}}, {"additional_kwargs": {"seed": 2}}, {"logprobs": True}],
    ]
    for variant in variants:
        assert tier(cached(make_openai(**variant), cache).chat(user(ASKED))) == "miss"
    for variant in variants:
        assert tier(cached(make_openai(**variant), cache).chat(user(ASKED))) == "l1"
    assert stub.calls == len(variants)
