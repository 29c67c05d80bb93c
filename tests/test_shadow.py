"""Records of a lookup: each candidate with what was decided about it."""

from __future__ import annotations

from semroute.entry import Address, Answer, Entry
from semroute.result import Explanation, Nearest, Verdict
from semroute.shadow import ShadowRecord, records_of

ADDRESS = Address("shard", "partition", "exact")


def entry(name: str, *, partition: str = "partition", labels: frozenset[str] = frozenset()) -> Entry:
    address = Address("shard", partition, name)
    return Entry(address, f"question {name}", Answer(f"answer {name}"), 1.0, 2.0, labels=labels)


def hit(tier: str = "l2") -> Explanation:
    refused = Nearest("a", "question a", 0.95, (Verdict("numbers", False, "1 ≠ 2"),))
    served = Nearest("b", "question b", 0.91, (Verdict("numbers", True), Verdict("verifier", True, "", 0.97)))
    return Explanation(
        tier,  # type: ignore[arg-type]  # one of the tiers
        "because",
        hit_id="b",
        similarity=0.91,
        p_reusable=0.97,
        threshold=0.85,
        threshold_from="default",
        considered=(refused, served) if tier == "l2" else (),
    )


def taken_down(explanation: Explanation, **given: object) -> tuple[ShadowRecord, ...]:
    return records_of(explanation, address=ADDRESS, query="asked", at=7.0, **given)  # type: ignore[arg-type]  # passed through


def test_a_would_be_hit_and_the_refused_candidate_before_it_are_both_taken_down() -> None:
    refused, served = taken_down(hit(), needed_p=0.95, real_answer=Answer("real"))
    assert (refused.candidate, refused.would_serve, refused.p_reusable) == ("question a", False, None)
    assert (served.candidate, served.would_serve, served.p_reusable) == ("question b", True, 0.97)
    assert (served.request, served.query, served.at) == ("exact", "asked", 7.0)
    assert (served.threshold, served.needed_p, served.threshold_from) == (0.85, 0.95, "default")
    assert served.real_answer == Answer("real")


def test_only_what_would_be_served_can_be_said_to_have_been_served() -> None:
    assert [record.was_served for record in taken_down(hit(), was_served=True)] == [False, True]
    assert [record.was_served for record in taken_down(hit())] == [False, False]


def test_a_near_miss_of_normal_operation_would_not_be_served() -> None:
    miss = Explanation("miss", "no", considered=(Nearest("a", "question a", 0.8),))
    (record,) = taken_down(miss, real_answer=Answer("real"))
    assert (record.would_serve, record.was_served, record.similarity) == (False, False, 0.8)


def test_entries_that_were_read_bring_their_answers_and_labels() -> None:
    entries = {"b": entry("b", labels=frozenset({"tag"}))}
    refused, served = taken_down(hit(), labels=frozenset({"tenant"}), stored=entries)
    assert (refused.stored_answer, refused.labels) == (None, frozenset({"tenant"}))
    assert (served.stored_answer, served.labels) == (Answer("answer b"), frozenset({"tenant", "tag"}))


def test_an_entry_of_another_scope_is_left_out_whoever_passed_it_in() -> None:
    entries = {"a": entry("a", partition="another tenant's"), "b": entry("b")}
    assert [record.entry for record in taken_down(hit(), stored=entries)] == ["b"]


def test_an_alias_is_taken_down_with_the_words_of_the_entry_that_it_points_to() -> None:
    (record,) = taken_down(hit("l1_alias"), stored={"b": entry("b")})
    assert (record.candidate, record.similarity, record.p_reusable) == ("question b", 0.91, 0.97)
    assert record.would_serve


def test_nothing_is_taken_down_where_nothing_was_compared_by_meaning() -> None:
    assert taken_down(hit("l1_alias")) == ()
    assert taken_down(Explanation("l1", "the same", hit_id="b", similarity=1.0)) == ()
    assert taken_down(Explanation("bypass", "no")) == ()
