"""The benchmark's questions."""

from __future__ import annotations

from semroute.benchmark.clients import Supply
from semroute.benchmark.questions import PARAPHRASES, answer_to, new_question, paraphrase, stored_question
from semroute.cacheability import Cacheability, Facts, judge_cacheability
from semroute.entry import Candidate
from semroute.guards.lexical import lexical_guards


def test_ten_thousand_questions_are_all_different() -> None:
    assert len({stored_question(number) for number in range(10_000)}) == 10_000
    assert len({new_question(number) for number in range(10_000)}) == 10_000
    assert len({paraphrase(number, 500) for number in range(500 * PARAPHRASES)}) == 500 * PARAPHRASES


def test_no_paraphrase_is_a_stored_question() -> None:
    assert not {stored_question(n) for n in range(500)} & {paraphrase(n, 500) for n in range(500 * PARAPHRASES)}


def test_the_rules_let_every_kind_of_question_into_both_tiers() -> None:
    for number in range(300):
        for text in (stored_question(number), paraphrase(number, 100), new_question(number)):
            assert judge_cacheability(Facts(query=text)).cacheability is Cacheability.FULL, text


def test_every_guard_lets_a_paraphrase_pass() -> None:
    for number in range(400):
        text, candidate = paraphrase(number, 100), Candidate("id", stored_question(number % 100), 0.95)
        verdicts = [guard.check(text, candidate) for guard in lexical_guards()]
        assert [str(verdict) for verdict in verdicts if not verdict.passed] == [], text


def test_the_mix_is_half_repeats_a_quarter_paraphrases_a_quarter_new() -> None:
    supply = Supply(50)
    mixed = [supply.mixed() for _ in range(80)]
    stored = {stored_question(number) for number in range(50)}
    paraphrases = {paraphrase(number, 50) for number in range(50 * PARAPHRASES)}
    assert sum(text in stored for text in mixed) == 40
    assert sum(text in paraphrases for text in mixed) == 20
    assert len({text for text in mixed if text not in stored}) == 40


def test_a_repeat_and_a_paraphrase_come_with_the_number_of_their_question() -> None:
    supply = Supply(50)
    number, text = supply.repeat()
    assert text == stored_question(number)
    number, text = supply.paraphrase()
    assert text == paraphrase(number, 50)


def test_answers_differ() -> None:
    assert answer_to(1).text != answer_to(2).text
