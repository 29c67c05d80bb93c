"""The verifier of a cache: what may be given for one, and which policies it goes with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import semroute
from semroute import ConfigError, Miss, Policy, SemanticCache
from semroute.guards import verifier as module
from semroute.guards._verifier_file import Coefficients, write, written
from semroute.guards._verifier_forest import Forest
from semroute.guards.lexical import lexical_guards
from semroute.guards.shipped import ShippedVerifier
from semroute.guards.verifier import Verifier
from semroute.policy_file import write_policy
from semroute.testing.embedders import HashEmbedder

MakeCache = Callable[..., SemanticCache]
QUESTION, SAME_IN_OTHER_WORDS = "How do I reset my password?", "how do i reset my password"


def simple_verifier(slope: float = 6.0, embedder: str = HashEmbedder().identity) -> Verifier:
    """Return a verifier that looks at the similarity alone."""
    return Verifier(Coefficients(embedder, ("the", "my", "i"), -3.0, slope, Forest.empty(3)), {"data": "none"})


MINE, OTHER = simple_verifier(), simple_verifier(7.0)
TUNED = replace(Policy(), version="tuned", verifier=MINE.digest)


def saved(verifier: Verifier, path: Path) -> Path:
    write(path, written(verifier.coefficients, verifier.card))
    return path


class TestPolicyOfAnotherVerifier:
    def test_it_is_refused_with_what_to_do(self, tmp_path: Path) -> None:
        write_policy(TUNED, tmp_path / "policy.json")
        with pytest.raises(ConfigError, match=f"tuned with the verifier {MINE.digest}, .* use that verifier, or tune"):
            SemanticCache("memory://", policy=tmp_path / "policy.json", verifier=OTHER)

    def test_that_of_its_own_verifier_is_taken(self, make_cache: MakeCache) -> None:
        assert make_cache(policy=TUNED, verifier=MINE).rules.verifier is MINE

    async def test_where_it_comes_later_nothing_is_served_by_meaning_and_the_reason_is_said(
        self, face, make_cache: MakeCache
    ) -> None:
        cache = make_cache(verifier=simple_verifier(40.0))
        await face.update(cache, QUESTION, "a")
        cache.use_policy(TUNED)
        missed = await face.lookup(cache, SAME_IN_OTHER_WORDS)
        assert isinstance(missed, Miss)
        assert "tuned with another verifier" in missed.explanation.reason
        assert "semroute tune" in missed.explanation.reason
        assert (await face.lookup(cache, QUESTION)).tier == "l1"

    def test_beside_the_verifier_that_ships_it_is_found_at_the_first_lookup(
        self, make_cache: MakeCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "SHIPPED", saved(OTHER, tmp_path / "shipped.json"))
        cache = make_cache(policy=TUNED)
        cache.update(QUESTION, "a")
        assert "another verifier" in cache.lookup(SAME_IN_OTHER_WORDS).explanation.reason

    def test_without_a_verifier_or_beside_one_that_does_not_count_the_gate_stays_strict(
        self, make_cache: MakeCache
    ) -> None:
        for parts in ({"verifier": False}, {}):  # the verifier that ships is of another embedder
            cache = make_cache(policy=TUNED, **parts)
            cache.update(QUESTION, "a")
            assert "verifier" not in cache.lookup("Who is it?").explanation.reason


class TestWhatMayBeGiven:
    @pytest.mark.parametrize("kind", [str, Path])
    def test_a_path_loads_the_file(self, kind: Callable[[Path], str | Path], tmp_path: Path) -> None:
        path = saved(MINE, tmp_path / "mine.json")
        given = SemanticCache("memory://", verifier=kind(path)).rules.verifier
        assert given is not None
        assert given.digest == MINE.digest

    def test_a_folder_loads_the_verifier_within(self, tmp_path: Path) -> None:
        saved(MINE, tmp_path / "verifier.json")
        assert Verifier.load(tmp_path).digest == MINE.digest

    def test_a_folder_without_one_names_the_file_that_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"verifier\.json cannot be read"):
            Verifier.load(tmp_path)

    def test_false_is_none_at_all_and_nothing_is_the_one_that_ships(self) -> None:
        assert SemanticCache("memory://", verifier=False).rules.verifier is None
        assert isinstance(SemanticCache("memory://").rules.verifier, ShippedVerifier)

    def test_the_settings_may_name_its_file_and_an_argument_wins(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SEMROUTE_VERIFIER", str(saved(MINE, tmp_path / "mine.json")))
        standing = SemanticCache("memory://").rules.verifier
        assert standing is not None
        assert standing.digest == MINE.digest
        assert SemanticCache("memory://", verifier=OTHER).rules.verifier is OTHER
        assert SemanticCache("memory://", verifier=False).rules.verifier is None

    def test_a_file_of_the_settings_that_is_missing_is_told_with_where_it_was_named(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SEMROUTE_VERIFIER", str(tmp_path / "nowhere.json"))
        with pytest.raises(ConfigError, match=r"SEMROUTE_VERIFIER\) names none: .*nowhere\.json"):
            SemanticCache("memory://")

    def test_a_policy_of_another_verifier_is_refused_beside_the_file_of_the_settings(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SEMROUTE_VERIFIER", str(saved(OTHER, tmp_path / "other.json")))
        with pytest.raises(ConfigError, match="tuned with the verifier"):
            SemanticCache("memory://", policy=TUNED)

    @pytest.mark.parametrize("given", [True, 0, 0.8, Verifier, lexical_guards()[0], {}])
    def test_anything_else_is_refused_when_the_cache_is_made(self, given: object) -> None:
        with pytest.raises(ConfigError, match="verifier must be a verifier"):
            SemanticCache("memory://", verifier=given)  # type: ignore[arg-type]  # what must not be given

    def test_a_file_that_is_no_verifier_is_refused_when_the_cache_is_made(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read as a verifier"):
            SemanticCache("memory://", verifier=tmp_path / "nowhere.json")


def test_it_is_a_public_name() -> None:
    assert semroute.Verifier is Verifier
