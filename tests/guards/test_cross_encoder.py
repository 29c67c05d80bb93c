"""A cross-encoder as a guard: a tiny real model, loaded with sentence-transformers and from its ONNX export."""

from __future__ import annotations

import asyncio
import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from sentence_transformers import CrossEncoder
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from semroute.entry import Candidate
from semroute.errors import ConfigError
from semroute.guards import Guard, WaitingGuard
from semroute.guards.cross_encoder import CrossEncoderGuard, OnnxScorer, TorchScorer, log_odds, open_scorer, sigmoid
from semroute.guards.gray_zone import GrayZone
from semroute.result import Verdict

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "how", "do", "i", "pay", "my", "bill", "what", "is", "a", "ring"]
MAX_TOKENS = 24
ASKED = "how do i pay"
STORED = Candidate("e1", "what is my bill", 0.9)


def make_model(folder: Path, labels: int) -> None:
    """Save a tiny cross-encoder with random weights, as sentence-transformers saves them."""
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_TOKENS,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)
    torch.manual_seed(7)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=MAX_TOKENS,
        num_labels=labels,
        initializer_range=0.5,
    )
    BertForSequenceClassification(config).save_pretrained(folder)


class Logits(torch.nn.Module):
    """A model whose only output are its scores."""

    def __init__(self, model: BertForSequenceClassification) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.model(input_ids=ids, attention_mask=mask, token_type_ids=kinds).logits
        return scores


def export(folder: Path, into: Path) -> None:
    """Export a saved cross-encoder to ONNX, its graph in a folder of its own as model hubs have it."""
    model = BertForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    (into / "onnx").mkdir(parents=True)
    names = ["input_ids", "attention_mask", "token_type_ids"]
    example = tuple(torch.ones((1, 6), dtype=torch.int64) for _ in names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the newer exporter needs a package that nothing else does
        torch.onnx.export(
            Logits(model),
            example,
            str(into / "onnx" / "model.onnx"),
            input_names=names,
            output_names=["logits"],
            dynamic_axes={name: {1: "tokens"} for name in names},
            opset_version=17,
            dynamo=False,
        )
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        shutil.copy(folder / name, into)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cross-encoder")
    make_model(folder, labels=1)
    return folder


@pytest.fixture(scope="module")
def onnx_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    into = tmp_path_factory.mktemp("exported")
    export(folder, into)
    return into


@pytest.fixture(scope="module")
def three_labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three-labels")
    make_model(folder, labels=3)
    return folder


@pytest.fixture(params=["torch", "onnx"])
def model(request: pytest.FixtureRequest, folder: Path, onnx_folder: Path) -> Path:
    """Either way to run the same weights."""
    return folder if request.param == "torch" else onnx_folder


@pytest.fixture
def guard(model: Path) -> Iterator[CrossEncoderGuard]:
    guard = CrossEncoderGuard(model, min_p=0.5, deadline_s=60.0)
    yield guard
    guard.close()


def test_an_export_runs_on_onnx_runtime_and_everything_else_on_torch(folder: Path, onnx_folder: Path) -> None:
    assert isinstance(open_scorer(str(folder)), TorchScorer)
    assert isinstance(open_scorer(str(onnx_folder)), OnnxScorer)


def test_the_scores_are_those_of_sentence_transformers(guard: CrossEncoderGuard, folder: Path) -> None:
    reference = CrossEncoder(str(folder))
    for asked, stored in [(ASKED, STORED.query), ("what is a ring", "is my ring a bill"), ("pay", "pay")]:
        (expected,) = reference.predict([(asked, stored)], show_progress_bar=False)  # a sigmoid is its default
        assert guard.p(asked, stored) == pytest.approx(float(expected), abs=1e-5)


def test_the_model_reads_which_text_was_asked_and_which_is_stored(guard: CrossEncoderGuard) -> None:
    assert guard.p(ASKED, STORED.query) != pytest.approx(guard.p(STORED.query, ASKED), abs=1e-6)


def test_it_is_a_guard_that_waits(guard: CrossEncoderGuard) -> None:
    assert isinstance(guard, Guard)
    assert isinstance(guard, WaitingGuard)


def test_a_candidate_passes_from_the_probability_that_was_asked_for(model: Path) -> None:
    p = CrossEncoderGuard(model, min_p=0.0).p(ASKED, STORED.query)
    assert 0.0 < p < 1.0
    passing = CrossEncoderGuard(model, min_p=p - 0.001, deadline_s=60.0).check(ASKED, STORED)
    assert passing == Verdict("cross_encoder", True, p_reusable=pytest.approx(p))
    refused = CrossEncoderGuard(model, min_p=p + 0.001, deadline_s=60.0).check(ASKED, STORED)
    assert (refused.passed, refused.p_reusable) == (False, pytest.approx(p))
    assert refused.why == f"P {p:.2f}, under {p + 0.001:.2f}"


async def test_on_an_event_loop_it_says_the_same(guard: CrossEncoderGuard) -> None:
    verdicts = await asyncio.gather(*(guard.acheck(ASKED, STORED) for _ in range(3)))
    assert verdicts == [guard.check(ASKED, STORED)] * 3


def test_temperature_and_bias_make_the_score_a_probability(folder: Path) -> None:
    plain = CrossEncoderGuard(folder, min_p=0.5).p(ASKED, STORED.query)
    odds = log_odds(TorchScorer(str(folder)).scores(ASKED, STORED.query), None)
    assert plain == pytest.approx(sigmoid(odds))
    cool = CrossEncoderGuard(folder, min_p=0.5, temperature=4.0, bias=-1.5).p(ASKED, STORED.query)
    assert cool == pytest.approx(sigmoid((odds - 1.5) / 4.0))


def test_a_pair_longer_than_the_model_reads_is_refused_and_never_cut(guard: CrossEncoderGuard) -> None:
    fits = " ".join(["pay"] * (MAX_TOKENS - 4))
    assert guard.check(fits, Candidate("e", "bill", 0.9)).p_reusable is not None
    refused = guard.check(f"{fits} pay", Candidate("e", "bill", 0.9))
    assert (refused.passed, refused.p_reusable) == (False, None)
    assert f"the pair has {MAX_TOKENS + 1} tokens, more than the {MAX_TOKENS}" in refused.why


def test_the_same_pair_is_scored_once(guard: CrossEncoderGuard, model: Path) -> None:
    first = guard.check(ASKED, STORED)
    guard._scorer = None
    guard._model = "gone"
    assert guard.check(ASKED, STORED) == first
    assert not guard.check("what is a ring", STORED).passed


def test_of_several_labels_the_one_that_means_reusable_must_be_named(three_labels: Path) -> None:
    with pytest.raises(ConfigError, match="has 3 labels: say with positive="):
        CrossEncoderGuard(three_labels, min_p=0.5).p(ASKED, STORED.query)
    refused = CrossEncoderGuard(three_labels, min_p=0.5, deadline_s=60.0).check(ASKED, STORED)
    assert "has 3 labels" in refused.why


def test_of_several_labels_the_probability_is_the_softmax(three_labels: Path) -> None:
    reference = CrossEncoder(str(three_labels))
    (expected,) = reference.predict([(ASKED, STORED.query)], apply_softmax=True, show_progress_bar=False)
    for label in range(3):
        p = CrossEncoderGuard(three_labels, min_p=0.5, positive=label).p(ASKED, STORED.query)
        assert p == pytest.approx(float(expected[label]), abs=1e-5)


class TestModelsThatCannotServe:
    def test_a_model_that_is_not_there_is_an_error_at_start_up_and_a_refusal_later(self, tmp_path: Path) -> None:
        guard = CrossEncoderGuard(tmp_path / "nothing", min_p=0.5, deadline_s=60.0)
        with pytest.raises(ConfigError, match="cannot be loaded"):
            guard.preload()
        verdict = guard.check(ASKED, STORED)
        assert (verdict.passed, verdict.p_reusable) == (False, None)
        assert verdict.why.startswith("unverifiable: the cross_encoder failed: ConfigError")

    def test_an_export_that_is_damaged(self, onnx_folder: Path, tmp_path: Path) -> None:
        shutil.copytree(onnx_folder, tmp_path / "m")
        (tmp_path / "m" / "onnx" / "model.onnx").write_bytes(b"nothing")
        with pytest.raises(ConfigError, match="cannot be loaded"):
            CrossEncoderGuard(tmp_path / "m", min_p=0.5).preload()

    def test_an_export_without_its_tokenizer(self, onnx_folder: Path, tmp_path: Path) -> None:
        shutil.copytree(onnx_folder, tmp_path / "m")
        (tmp_path / "m" / "tokenizer.json").unlink()
        with pytest.raises(ConfigError, match=r"has no tokenizer\.json"):
            CrossEncoderGuard(tmp_path / "m", min_p=0.5).preload()

    def test_a_model_without_a_stated_limit_reads_as_much_as_it_can(self, onnx_folder: Path, tmp_path: Path) -> None:
        shutil.copytree(onnx_folder, tmp_path / "m")
        (tmp_path / "m" / "config.json").unlink()
        settings = json.loads((tmp_path / "m" / "tokenizer_config.json").read_text())
        (tmp_path / "m" / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 10**30}))
        guard = CrossEncoderGuard(tmp_path / "m", min_p=0.5, deadline_s=60.0)
        assert guard.check(ASKED, STORED).p_reusable is not None
        beyond = guard.check(" ".join(["pay"] * 100), STORED)
        assert (beyond.passed, beyond.p_reusable) == (False, None)

    @pytest.mark.parametrize(
        "numbers",
        [{"min_p": 1.5}, {"min_p": float("nan")}, {"temperature": 0.0}, {"temperature": float("nan")}, {"bias": 1e999}],
    )
    def test_numbers_that_are_none_are_refused(self, numbers: dict[str, float]) -> None:
        with pytest.raises(ConfigError, match="must be"):
            CrossEncoderGuard("model", **{"min_p": 0.5, **numbers})  # type: ignore[arg-type]  # numbers all


class Unsure:
    name = "verifier"

    def check(self, query: str, candidate: Candidate) -> Verdict:
        return Verdict("verifier", True, p_reusable=0.5)


def test_behind_a_verifier_it_decides_in_the_gray_zone(folder: Path) -> None:
    p = CrossEncoderGuard(folder, min_p=0.0).p(ASKED, STORED.query)
    for min_p, passed in ((p - 0.001, True), (p + 0.001, False)):
        second = CrossEncoderGuard(folder, min_p=min_p, deadline_s=60.0)
        verdict = GrayZone(Unsure(), second, 0.2, 0.9).check(ASKED, STORED)
        assert (verdict.guard, verdict.passed) == ("cross_encoder", passed)


@pytest.mark.parametrize(("odds", "p"), [(0.0, 0.5), (1_000.0, 1.0), (-1_000.0, 0.0), (2.0, 0.880797)])
def test_odds_of_any_size_have_a_probability(odds: float, p: float) -> None:
    assert sigmoid(odds) == pytest.approx(p, abs=1e-6)
