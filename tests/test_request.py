"""What is being asked: canonical forms, scopes and the digests that name a request."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semroute.errors import ConfigError
from semroute.request import VOLATILE, Digests, Message, Request, Scope, ToolCall, canonical, content_digest, fold

KEY = bytes(range(32))
DIGESTS = Digests(KEY)

texts = st.text(st.characters(), max_size=40)
names = st.none() | st.text(min_size=1, max_size=8).filter(str.strip)
scopes = st.builds(Scope, tenant=names, namespace=names, user=names)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
messages = st.lists(
    st.builds(Message, role=st.sampled_from(["system", "user", "assistant", "tool"]), text=texts), max_size=4
)


def exact(request: Request, digests: Digests = DIGESTS) -> str:
    return digests.address(request).exact


def partition(request: Request, digests: Digests = DIGESTS) -> str:
    return digests.address(request).partition


class TestCanonicalForm:
    @given(st.dictionaries(st.text(max_size=5), json_values, max_size=6), st.randoms())
    def test_the_order_in_which_a_mapping_was_filled_does_not_matter(self, params, random) -> None:
        items = list(params.items())
        random.shuffle(items)
        assert canonical(dict(items)) == canonical(params)
        assert exact(Request.of("q", params=dict(items))) == exact(Request.of("q", params=params))

    @given(json_values)
    def test_the_canonical_form_loses_nothing(self, value) -> None:
        assert json.loads(canonical(value)) == value

    @pytest.mark.parametrize("params", [{"x": math.nan}, {"x": math.inf}, {"x": object()}, {"x": {1, 2}}])
    def test_what_is_no_json_is_an_error_that_says_so(self, params) -> None:
        with pytest.raises(ConfigError, match="plain JSON"):
            Request.of("q", params=params)

    def test_true_and_one_are_not_the_same_parameter(self) -> None:
        assert exact(Request.of("q", params={"x": True})) != exact(Request.of("q", params={"x": 1}))

    @given(texts)
    def test_content_digests_differ_for_other_content(self, text: str) -> None:
        assert content_digest(text) == content_digest(text.encode("utf-8", "surrogatepass"))
        assert content_digest(text) != content_digest(text + "x")


class TestFolding:
    @given(texts)
    def test_folding_twice_changes_nothing(self, text: str) -> None:
        assert fold(fold(text)) == fold(text)

    @given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("Zs", "Zl", "Zp", "Cc")), min_size=1)))
    def test_runs_of_white_space_are_one_space(self, words: list[str]) -> None:
        assert fold("  ".join(words)) == fold(" ".join(words)) == fold(f" {' '.join(words)}\t\n")

    @given(texts)
    def test_both_unicode_forms_of_a_text_are_one_request(self, text: str) -> None:
        decomposed, composed = unicodedata.normalize("NFD", text), unicodedata.normalize("NFC", text)
        assert exact(Request.of(decomposed)) == exact(Request.of(composed))

    def test_case_is_never_folded(self) -> None:
        assert exact(Request.of("What is polish?")) != exact(Request.of("What is Polish?"))

    def test_indentation_of_code_is_kept(self) -> None:
        inside, outside = "if a:\n    b()\n    c()", "if a:\n    b()\nc()"
        assert exact(Request.of(inside)) != exact(Request.of(outside))
        assert exact(Request.of(inside)) == exact(Request.of("if a:  \n    b()\n    c()\n"))

    def test_white_space_inside_a_code_fence_is_kept(self) -> None:
        assert exact(Request.of("```a  b```")) != exact(Request.of("```a b```"))

    @pytest.mark.parametrize("text", ["\n    How are you?\n    ", "How are\n  \nyou?", "How are\r\nyou?\r\n"])
    def test_margins_and_blank_lines_are_no_indentation(self, text: str) -> None:
        assert fold(text) == fold(" ".join(text.split()))

    def test_compatibility_forms_stay_apart(self) -> None:
        assert exact(Request.of("x²")) != exact(Request.of("x2"))


class TestIsolation:
    @given(scopes, scopes)
    def test_requests_of_two_scopes_share_no_digest(self, one: Scope, other: Scope) -> None:
        mine, theirs = (DIGESTS.address(Request.of("q", system="s", scope=scope)) for scope in (one, other))
        if one == other:
            assert mine == theirs
        else:
            assert not set(asdict(mine).values()) & set(asdict(theirs).values())

    @pytest.mark.parametrize("named", ["tenant", "namespace", "user"])
    @pytest.mark.parametrize("blank", ["", "  ", "\n"])
    def test_a_blank_name_is_refused_because_all_who_have_none_would_share_it(self, named: str, blank: str) -> None:
        with pytest.raises(ConfigError, match=f"{named} must not be blank"):
            Scope(**{named: blank})

    def test_one_name_as_tenant_namespace_or_user_makes_three_scopes(self) -> None:
        named = [Scope(tenant="a"), Scope(namespace="a"), Scope(user="a")]
        assert len({exact(Request.of("q", scope=scope)) for scope in named}) == 3

    @pytest.mark.parametrize("named", ["tenant", "namespace", "user"])
    @pytest.mark.parametrize("value", [42, b"acme", ["acme"]])
    def test_a_scope_is_made_of_strings_only(self, named: str, value: object) -> None:
        with pytest.raises(ConfigError, match=f"{named} must be a string or None"):
            Scope(**{named: value})

    @given(messages, messages)
    def test_two_contexts_share_a_partition_only_when_they_are_equal_in_meaning(self, one, other) -> None:
        first, second = ([*((turn.role, fold(turn.text)) for turn in turns), ("user", "?")] for turns in (one, other))
        same = partition(Request.from_messages([*one, Message("user", "a")])) == partition(
            Request.from_messages([*other, Message("user", "b")])
        )
        assert same is (first == second)

    @given(texts, texts, texts)
    def test_characters_that_move_from_one_part_to_the_next_make_another_request(self, a, b, c) -> None:
        one = Request.of(c, system=a + b, scope=Scope(tenant="t"))
        other = Request.of(b + c, system=a, scope=Scope(tenant="t"))
        if fold(a + b) != fold(a):
            assert exact(one) != exact(other)
            assert partition(one) != partition(other)

    @given(st.lists(st.text(max_size=6), min_size=1, max_size=4), st.lists(st.text(max_size=6), min_size=1, max_size=4))
    def test_no_two_lists_of_parts_share_a_digest(self, one: list[str], other: list[str]) -> None:
        assert (DIGESTS._digest(*one) == DIGESTS._digest(*other)) is (one == other)

    @pytest.mark.parametrize(
        "other",
        [
            {"model": "n"},
            {"params": {"temperature": 0.1}},
            {"system": "You are curt"},
            {"history": [{"role": "user", "content": "hello"}]},
            {"history": [Message("assistant", "hi", name="bot")]},
            {"history": [Message("assistant", "hi", blocks=("ab",))]},
            {"history": [Message("assistant", "hi", tool_calls=(ToolCall("f", {"x": 1}),))]},
        ],
    )
    def test_everything_of_the_context_makes_a_partition_of_its_own(self, other) -> None:
        base = {"model": "m", "system": "You are kind", "history": [Message("assistant", "hi")]}
        assert partition(Request.of("q", **{**base, **other})) != partition(Request.of("q", **base))

    def test_the_order_of_tool_calls_matters(self) -> None:
        calls = ToolCall("f", {"x": 1}), ToolCall("g", {"x": 2})
        one, other = (Message("assistant", tool_calls=order) for order in (calls, calls[::-1]))
        assert partition(Request.of("q", history=[one])) != partition(Request.of("q", history=[other]))

    def test_the_shard_depends_on_scope_and_system_prompt_alone(self) -> None:
        one = DIGESTS.address(Request.of("a", system="s", model="m"))
        other = DIGESTS.address(Request.of("b", system="s", model="n", history=[Message("assistant", "x")]))
        assert one.shard == other.shard
        assert one.shard != DIGESTS.address(Request.of("a", system="t", model="m")).shard


class TestWhatIsNoPartOfTheKey:
    def test_tags_and_ttl_and_the_wish_to_bypass_are_not_in_the_key(self) -> None:
        plain = Request.of("q")
        dressed = Request.of("q", tags=["a"], ttl=timedelta(hours=1), bypass=True)
        assert DIGESTS.address(plain) == DIGESTS.address(dressed)

    def test_a_tool_call_is_named_by_its_name_and_arguments(self) -> None:
        one = Message("assistant", tool_calls=(ToolCall("f", {"a": 1, "b": 2}),))
        other = Message("assistant", tool_calls=(ToolCall("f", {"b": 2, "a": 1}),))
        assert exact(Request.of("q", history=[one])) == exact(Request.of("q", history=[other]))

    def test_history_as_mappings_is_history_as_messages(self) -> None:
        mappings = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes?", "name": "bot"}]
        turns = [Message("user", "hi"), Message("assistant", "yes?", name="bot")]
        assert Request.of("q", history=mappings) == Request.of("q", history=turns)

    @pytest.mark.parametrize("turn", [{"content": "hi"}, {"role": "user", "content": "hi", "id": "run-1"}, {}])
    def test_a_history_turn_of_another_shape_is_refused(self, turn) -> None:
        with pytest.raises(ConfigError, match="role, content and name"):
            Request.of("q", history=[turn])

    def test_a_system_prompt_and_a_system_turn_are_the_same(self) -> None:
        assert Request.of("q", system="s") == Request.from_messages([Message("system", "s"), Message("user", "q")])


class TestTemplates:
    TEMPLATE = "Answer from the manual.\n\nQuestion: {}\nAnswer:"

    def test_the_words_inside_a_template_are_the_query_and_the_rest_is_context(self) -> None:
        one, other = (
            Request.of(self.TEMPLATE.format(words), words=words) for words in ("How tall is it?", "How high is it?")
        )
        assert (one.query, other.query) == ("How tall is it?", "How high is it?")
        assert partition(one) == partition(other)
        assert exact(one) != exact(other)

    def test_another_template_is_another_context(self) -> None:
        one = Request.of("Briefly: why?", words="why?")
        assert partition(one) != partition(Request.of("At length: why?", words="why?"))

    @pytest.mark.parametrize("words", ["something else", ""])
    def test_words_that_do_not_stand_in_the_turn_leave_nothing_to_compare_by_meaning(self, words: str) -> None:
        one, other = (Request.of(self.TEMPLATE.format(text), words=words) for text in ("a?", "b?"))
        assert one.query == other.query == ""
        assert partition(one) != partition(other)

    def test_the_query_is_the_last_user_turn(self) -> None:
        turns = [Message("user", "first"), Message("assistant", "yes"), Message("user", "second")]
        assert Request.from_messages(turns).query == "second"
        assert Request.from_messages([*turns, Message("tool", "42")]).ends_with_user is False

    def test_a_conversation_without_a_user_turn_has_no_query(self) -> None:
        request = Request.from_messages([Message("system", "go on")])
        assert (request.query, request.ends_with_user) == ("", False)
        assert Request.from_messages([]).query == ""


TOKENS = {
    "uuid": ("123e4567-e89b-12d3-a456-426614174000", "00000000-1111-2222-3333-444444444444"),
    "timestamp": ("2026-11-21T06:30:00Z", "2025-01-02 03:04:05.678+01:00"),
    "unix_time": ("1750000000", "1760000000123"),
    "hex_id": ("deadbeef01234567", "0123456789abcdef0123"),
    "request_id": ("req_a1B2c3D4e5", "req-zZ99yY88xX"),
}


class TestVolatileTokens:
    @pytest.mark.parametrize("rule", sorted(VOLATILE))
    def test_a_named_rule_folds_its_tokens_in_query_and_context(self, rule: str) -> None:
        strict, lenient = DIGESTS, Digests(KEY, [rule])
        one, other = (Request.of(f"why did {token} fail", system=f"session {token}") for token in TOKENS[rule])
        assert strict.address(one) != strict.address(other)
        assert lenient.address(one) == lenient.address(other)

    @pytest.mark.parametrize("rule", sorted(VOLATILE))
    def test_no_rule_touches_the_words_and_numbers_of_a_question(self, rule: str) -> None:
        lenient = Digests(KEY, [rule])
        assert exact(Request.of("12 of 40 in 2019"), lenient) != exact(Request.of("12 of 41 in 2019"), lenient)
        assert lenient.stable("request 12 of the session in 2019") == "request 12 of the session in 2019"

    def test_an_unknown_rule_is_an_error_that_names_it_and_the_known_ones(self) -> None:
        with pytest.raises(ConfigError, match=r"dates.*uuid"):
            Digests(KEY, ["dates"])


class TestDigestKey:
    @given(texts)
    def test_another_digest_key_gives_other_digests(self, text: str) -> None:
        request = Request.of(text, system=text, scope=Scope(tenant=f"tenant {text}"))
        mine, theirs = (asdict(digests.address(request)) for digests in (DIGESTS, Digests(bytes(32))))
        assert not set(mine.values()) & set(theirs.values())
        assert DIGESTS.labels(request, "e") & Digests(bytes(32)).labels(request, "e") == frozenset()

    @given(st.text("abcdefghijklmnopqrstuvwxyz", min_size=8, max_size=20))
    def test_nothing_of_prompt_tenant_or_query_can_be_read_in_an_address(self, secret: str) -> None:
        request = Request.of(secret, system=secret, scope=Scope(secret, secret, secret), tags=[secret])
        written = " ".join([*asdict(DIGESTS.address(request)).values(), *DIGESTS.labels(request, "e")])
        assert set(written) <= set("0123456789abcdef ")
        assert secret not in written
        assert secret.encode().hex() not in written

    def test_every_process_gives_one_request_the_same_address(self, run_python: Callable[..., str]) -> None:
        script = """
from semroute.request import Digests, Message, Request, Scope, ToolCall
request = Request.of("wéi?", system="s", params={"b": 1, "a": [1.5, None]}, scope=Scope(tenant="t"), tags=["x", "y"],
    history=[Message("assistant", "h", tool_calls=(ToolCall("f", {"z": 1, "y": 2}),))])
digests = Digests(bytes(range(32)))
print(digests.address(request), sorted(digests.labels(request, "e")))
"""
        assert run_python(script, PYTHONHASHSEED="1") == run_python(script, PYTHONHASHSEED="2")

    def test_labels_name_what_the_request_belongs_to(self) -> None:
        request = Request.of("q", scope=Scope(tenant="t", user="u"), tags=["x", "y"])
        kinds = [("tenant", "t"), ("user", "u"), ("tag", "x"), ("tag", "y"), ("entry", "e")]
        assert DIGESTS.labels(request, "e") == {DIGESTS.label(*kind) for kind in kinds}


class TestOddTexts:
    @pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\x00\x01\x02", "שלום", "👩‍👩‍👧‍👦", "", " "])
    def test_any_text_has_an_address(self, text: str) -> None:
        request = Request.of(text, system=text, params={"stop": text}, scope=Scope(tenant=f"t{text}"), tags=[text])
        assert exact(request) == exact(replace(request))
        assert DIGESTS.labels(request, "e")

    def test_two_lone_surrogates_are_two_texts(self) -> None:
        assert exact(Request.of("\ud800")) != exact(Request.of("\ud801"))

    def test_a_megabyte_is_told_from_a_megabyte_that_differs_in_its_last_character(self) -> None:
        text = "word " * 200_000
        assert exact(Request.of(text + "a")) != exact(Request.of(text + "b"))


class TestArguments:
    @pytest.mark.parametrize("ttl", [timedelta(0), timedelta(seconds=-1), timedelta.max, 60, "1h"])
    def test_a_ttl_that_no_answer_could_live_by_is_refused_with_its_value_and_range(self, ttl) -> None:
        with pytest.raises(ConfigError, match=r"ttl must be a timedelta longer than 0 s and at most 3650 days, not"):
            Request.of("q", ttl=ttl)

    @pytest.mark.parametrize("tags", ["docs", [1], [None]])
    def test_tags_are_several_strings(self, tags) -> None:
        with pytest.raises(ConfigError, match="tags must be several strings"):
            Request.of("q", tags=tags)

    def test_a_request_moves_to_another_scope_whole(self) -> None:
        request = Request.of("q", system="s", tags=["x"])
        moved = request.within(Scope(tenant="t"))
        assert moved == replace(request, scope=Scope(tenant="t"))
        assert exact(moved) != exact(request)
