"""The freshness rules: what is perishable, what lasts, and what only sounds perishable."""

from __future__ import annotations

from datetime import timedelta

import pytest

from semroute.errors import ConfigError
from semroute.freshness import LIFETIMES, judge_freshness, lifetime


@pytest.mark.parametrize(
    "question",
    [
        "Is your checkout page down right now?",
        "what's the current price of the family plan",
        "What’s the latest news about the merger?",
        "weather in Bergen",
        "Will it rain in Porto on Sunday?",
        "EUR to CHF exchange rate",
        "How high is the share price of Acme today?",
        "what time is it in Lima",
        "What's the score of the derby?",
        "are you open now?",
        "How many seats are still free on the Sunday cruise?",
        "Who is on duty at the lost property office?",
        "When does the next harbour ferry leave?",
        "How much time is left on the dryer?",
        "What are today's opening hours?",
        "is the ticket shop offline",
        "Is flight QX 12 delayed?",
        "When is the next train to Basel?",
        "Thanks for the tip. Is the site up and running at the moment?",
    ],
)
def test_a_question_about_this_very_moment_is_realtime(question: str) -> None:
    assert judge_freshness(question).staleness == "realtime"


@pytest.mark.parametrize(
    "question",
    [
        "who won the club's title last season",
        "Which album is her most recent?",
        "When does the next volume appear?",
        "How old is the mayor of Ghent?",
        "Is the walnut desk still on sale?",
    ],
)
def test_what_changes_from_day_to_day_is_daily(question: str) -> None:
    assert judge_freshness(question).staleness == "daily"


@pytest.mark.parametrize(
    "question",
    [
        "who is the governor of Tasmania",
        "How many seats are there in the lecture hall?",
        "Who holds the record for the longest ski jump?",
        "what is the population of Tartu",
        "how many times has Norway hosted the games",
        "when was the last time the volcano erupted",
        "How much does the family plan cost?",
    ],
)
def test_offices_records_and_prices_change_slowly(question: str) -> None:
    assert judge_freshness(question).staleness == "slow"


@pytest.mark.parametrize(
    "question",
    [
        "What is the boiling point of ethanol?",
        "who was the first woman to lead the orchestra",
        "What was the weather like in Bergen in 1998?",
        "What is the weather usually like in Porto in May?",
        "who is the president of Finland as of 2017",
        "what was the population of Leipzig during world war ii",
        "Who wrote the anthem?",
        "what is the highest mountain in Spain",
    ],
)
def test_what_is_over_or_never_changes_is_timeless(question: str) -> None:
    assert judge_freshness(question).staleness == "timeless"


@pytest.mark.parametrize(
    "question",
    [
        "What should I do now that my order arrived?",
        "Now, how do I pair the headset?",
        "What do I do now?",
        "How do I check the weather from the app?",
        "how do I update to the latest version",
        "Why is the alternating current measured in amperes?",
        "How can I change my current plan?",
        "Is Friday the latest I can cancel a booking?",
        "Does the buy now button work with vouchers?",
        "I bought a lamp this morning",
        "where can I see the exchange rate you use?",
        "How are exchange rates calculated?",
        "Translate into French: what is the weather like today?",
        'What does "breaking news" stand for?',
    ],
)
def test_time_words_in_another_sense_do_not_count(question: str) -> None:
    assert judge_freshness(question).staleness == "timeless"


def test_words_for_this_very_day_beat_a_year_named_beside_them() -> None:
    assert judge_freshness("Is the model 2019 in the shop today?").staleness == "realtime"


def test_the_most_perishable_sentence_decides() -> None:
    text = "The tower was built in 1889. Is it raining in Paris? Who designed it?"

    assert judge_freshness(text).staleness == "realtime"


def test_the_reason_quotes_the_words_that_were_found() -> None:
    assert judge_freshness("What is the current price of the sofa?").reason == "time-sensitive: 'current price'"


@pytest.mark.parametrize("text", ["", "   \n", "?!", "\x00\x01", "🙂🙂", "שלום"])
def test_text_without_english_words_is_timeless(text: str) -> None:
    assert judge_freshness(text).staleness == "timeless"


def test_letter_case_typographic_apostrophes_and_line_breaks_do_not_matter() -> None:
    assert judge_freshness("WHAT’S\nTHE\tWEATHER LIKE?") == judge_freshness("what's the weather like?")


def test_a_question_at_the_end_of_a_long_text_is_seen() -> None:
    assert judge_freshness("lorem ipsum " * 50_000 + ". Is the service down right now?").staleness == "realtime"


def test_time_words_deep_inside_a_pasted_document_are_not_the_question() -> None:
    document = "filler " * 200 + "the weather today was mild " + "filler " * 200

    assert judge_freshness(f"Here is a report. {document}").staleness == "timeless"


def test_more_perishable_answers_are_kept_for_less_time() -> None:
    assert lifetime("timeless") == timedelta(days=30)
    assert lifetime("slow") == timedelta(days=7)
    assert lifetime("daily") == timedelta(hours=1)
    assert lifetime("realtime") is None


def test_lifetimes_can_be_given() -> None:
    assert lifetime("slow", {**LIFETIMES, "slow": timedelta(days=1)}) == timedelta(days=1)


def test_a_lifetime_that_is_not_positive_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"slow.*-1 day"):
        lifetime("slow", {**LIFETIMES, "slow": timedelta(days=-1)})
