"""Admission: which answers are worth keeping, and for which tier."""

from __future__ import annotations

import pytest

from semroute.admission import Admission, AdmissionLimits, admit
from semroute.entry import Answer
from semroute.errors import ConfigError

TEXT = "The lamp comes in black, sand and moss green."


def test_a_complete_answer_is_stored_for_both_tiers() -> None:
    assert admit(Answer(TEXT, finish_reason="stop")) == Admission(stored=True, semantic=True, reason="complete answer")


@pytest.mark.parametrize(
    "finish_reason",
    [None, "", "stop", "STOP", "end_turn", "eos", "stop_sequence", "COMPLETE", "FinishReason.STOP", "tool_calls"],
)
def test_an_answer_that_ended_by_itself_is_stored(finish_reason: str | None) -> None:
    assert admit(Answer(TEXT, finish_reason=finish_reason)).stored


@pytest.mark.parametrize(
    "finish_reason",
    [
        "length",
        "max_tokens",
        "MAX_TOKENS",
        "FinishReason.MAX_TOKENS",
        "content_filter",
        "SAFETY",
        "error",
        "cancelled",
        "model_context_window_exceeded",
        "something_new",
    ],
)
def test_an_answer_that_was_cut_off_or_stopped_for_an_unknown_reason_is_not_stored(finish_reason: str) -> None:
    admission = admit(Answer(TEXT, finish_reason=finish_reason))

    assert not admission.stored
    assert finish_reason in admission.reason


def test_tool_calls_are_stored_for_the_exact_tier_only() -> None:
    admission = admit(Answer("", finish_reason="tool_calls", has_tool_calls=True))

    assert (admission.stored, admission.semantic) == (True, False)


def test_truncated_tool_calls_are_not_stored() -> None:
    assert not admit(Answer("", finish_reason="length", has_tool_calls=True)).stored


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_an_empty_answer_is_not_stored(text: str) -> None:
    assert not admit(Answer(text, finish_reason="stop")).stored


def test_an_answer_flagged_as_a_refusal_is_not_stored() -> None:
    assert not admit(Answer(TEXT, is_refusal=True)).stored


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, I cannot assist with this request.",
        "Sorry, I won't provide instructions for this.",
        "I am unable to discuss that topic.",
        "I must decline.",
        "As an AI language model, I do not have opinions.",
        "Unfortunately, I can't share that.",
        "I apologize, but I'm not able to create such a text.",
    ],
)
def test_a_short_text_that_opens_like_a_refusal_is_not_stored(text: str) -> None:
    assert admit(Answer(text)).reason == "the answer is a refusal"


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry to hear that your lamp broke. Send us a photo and we replace it.",
        "Sorry about the wait! Parcels to Norway take six days.",
        "We can't ship to post boxes, but a street address works.",
        "You cannot return opened software.",
        "I can't help smiling is an idiom of surprise." + " It means that one smiles against one's will." * 10,
        "Unfortunately, the lamp is sold out until May.",
        "An AI language model predicts words.",
    ],
)
def test_a_helpful_answer_that_merely_sounds_sorry_is_stored(text: str) -> None:
    assert admit(Answer(text)).semantic


@pytest.mark.parametrize(
    "text",
    [
        '{"error": {"message": "rate limit reached", "type": "requests"}}',
        ' {"status": 503, "error": "overloaded"}',
        "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head></html>",
        "<html><body><h1>Service Unavailable</h1></body></html>",
    ],
)
def test_an_error_body_is_not_stored(text: str) -> None:
    assert admit(Answer(text)).reason == "the answer is an error message"


@pytest.mark.parametrize(
    "text",
    [
        '{"error": null, "status": "ok"}',
        '{"error": "E42", "explanation": "The lid is open."}',
        '{"error": broken',
        '["error"]',
        "<html><head><title>Lamps</title></head></html>",
        "The code raises an error because the list is empty.",
    ],
)
def test_an_answer_about_errors_is_stored(text: str) -> None:
    assert admit(Answer(text)).stored


def test_the_size_cap_counts_text_and_payload_in_bytes() -> None:
    answer = Answer("ÄÄ", payload={"a": "Ä"})  # 4 bytes, and 11 bytes of JSON

    assert admit(answer, AdmissionLimits(max_bytes=15)).stored
    refused = admit(answer, AdmissionLimits(max_bytes=14))
    assert refused == Admission(False, False, "the answer has 15 bytes, over the cap of 14")


def test_the_default_cap_is_256_kib() -> None:
    assert admit(Answer("a" * 256 * 1024)).stored
    assert not admit(Answer("a" * (256 * 1024 + 1))).stored


def test_half_a_surrogate_pair_does_not_break_the_size_check() -> None:
    assert admit(Answer("broken \ud83d text", payload={"text": "\ud83d"})).stored


@pytest.mark.parametrize("max_bytes", [0, -1])
def test_an_absurd_cap_is_refused_by_name(max_bytes: int) -> None:
    with pytest.raises(ConfigError, match=rf"max_bytes.*{max_bytes}"):
        AdmissionLimits(max_bytes=max_bytes)
