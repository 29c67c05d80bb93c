"""A cross-encoder as a guard: both questions read together by one model, which gives one score."""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from semroute.deadline import Deadline, Remembered, Unanswered
from semroute.errors import ConfigError, DeadlineExceeded, MissingExtra
from semroute.result import Verdict

if TYPE_CHECKING:
    from semroute.entry import Candidate

_GRAPHS: Final = ("model.onnx", "onnx/model.onnx")
_TOKENIZER: Final = "tokenizer.json"


class CrossEncoderGuard:
    """Passes a candidate when a cross-encoder gives it a probability of at least `min_p`; a failure refuses it.

    `model` is a folder with an ONNX export (model.onnx or onnx/model.onnx, beside its tokenizer.json), which runs on
    ONNX Runtime without torch, or anything that sentence-transformers' CrossEncoder loads. It is loaded at first use,
    or by `preload`. The probability is sigmoid((score + bias) / temperature), so give those that were fitted on
    labelled pairs; the score is the model's raw one, and of a model with several labels the log odds of label
    `positive`. Pairs longer than the model reads are refused, never cut.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        min_p: float,
        temperature: float = 1.0,
        bias: float = 0.0,
        positive: int | None = None,
        deadline_s: float = 5.0,
        threads: int = 1,
        remember: int = 10_000,
        name: str = "cross_encoder",
        clock: Callable[[], float] | None = None,
    ) -> None:
        # Written so that a number that is none is refused.
        if not 0.0 <= min_p <= 1.0:
            raise ConfigError(f"min_p={min_p!r} must be a probability in [0, 1]")
        if not (temperature > 0.0 and math.isfinite(temperature) and math.isfinite(bias)):
            raise ConfigError(f"temperature={temperature!r} must be more than 0, and bias={bias!r} a finite number")
        self.name = name
        self._model = os.fspath(model)
        self._min_p = min_p
        self._temperature = temperature
        self._bias = bias
        self._positive = positive
        self._deadline = Deadline(name, deadline_s, threads=threads, clock=clock)
        self._known: Remembered[float] = Remembered(remember)
        self._lock = threading.Lock()
        self._scorer: Scorer | None = None
        self._pid = os.getpid()

    def __repr__(self) -> str:
        state = "not loaded" if self._scorer is None else "loaded"
        return f"<CrossEncoderGuard {self._model!r}, {state}, passes from P {self._min_p:g}>"

    def check(self, query: str, candidate: Candidate) -> Verdict:
        """Score a candidate, and wait for it until the deadline."""
        known = self._known.get((query, candidate.query))
        try:
            return self._verdict(self._deadline.run(lambda: self.p(query, candidate.query)) if known is None else known)
        except (Unanswered, DeadlineExceeded) as error:
            return Verdict(self.name, passed=False, why=f"unverifiable: {error}")

    async def acheck(self, query: str, candidate: Candidate) -> Verdict:
        """Do what `check` does, without ever blocking the event loop."""
        known = self._known.get((query, candidate.query))
        try:
            if known is None:
                known = await self._deadline.arun(lambda: self.p(query, candidate.query))
            return self._verdict(known)
        except (Unanswered, DeadlineExceeded) as error:
            return Verdict(self.name, passed=False, why=f"unverifiable: {error}")

    def p(self, asked: str, stored: str) -> float:
        """Return the probability that the stored answer is reusable. Raises ConfigError, and Unanswered."""
        odds = log_odds(self._load().scores(asked, stored), self._positive)
        p = sigmoid((odds + self._bias) / self._temperature)
        if math.isnan(p):
            raise Unanswered("the model's score is no number")
        self._known.put((asked, stored), p)
        return p

    def preload(self) -> None:
        """Load the model now instead of at first use. Raises ConfigError, or MissingExtra."""
        self._load()

    def close(self) -> None:
        """Let go of the model and the worker threads; both come back when needed."""
        self._scorer = None
        self._deadline.close()

    def _verdict(self, p: float) -> Verdict:
        passed = p >= self._min_p
        return Verdict(self.name, passed, "" if passed else f"P {p:.2f}, under {self._min_p:.2f}", p)

    def _load(self) -> Scorer:
        if self._pid != os.getpid():  # a forked child has none of the threads that the parent's model runs on
            self._lock, self._scorer, self._pid = threading.Lock(), None, os.getpid()
        with self._lock:
            if self._scorer is None:
                self._scorer = open_scorer(self._model)
            return self._scorer


class Scorer(Protocol):
    """A loaded cross-encoder."""

    def scores(self, asked: str, stored: str) -> Sequence[float]:
        """Return the raw scores of a pair, one a label. Raises Unanswered for a pair that is too long."""
        ...


def open_scorer(model: str) -> Scorer:
    """Load a cross-encoder: from its ONNX export where there is one, else with sentence-transformers."""
    folder = Path(model).expanduser()
    graph = next((folder / name for name in _GRAPHS if (folder / name).is_file()), None)
    return TorchScorer(model) if graph is None else OnnxScorer(graph, folder)


class OnnxScorer:
    """A cross-encoder on ONNX Runtime, one pair a run, on one thread."""

    def __init__(self, graph: Path, folder: Path) -> None:
        try:
            import onnxruntime
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtra("a cross-encoder on ONNX Runtime", "embed") from error
        tokenizer = next((at for at in (folder / _TOKENIZER, graph.parent / _TOKENIZER) if at.is_file()), None)
        if tokenizer is None:
            raise ConfigError(f"the cross-encoder in {folder} has no {_TOKENIZER} beside its graph")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._tokenizer = Tokenizer.from_file(str(tokenizer))
            self._runtime = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        # The tokenizer raises plain Exception, and the runtime a class for each status, with no base but Exception.
        except Exception as error:
            raise ConfigError(f"the cross-encoder in {folder} cannot be loaded: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._limit = read_limit(folder)
        self._inputs = {
            node.name: node.type.removeprefix("tensor(").removesuffix(")") for node in self._runtime.get_inputs()
        }

    def scores(self, asked: str, stored: str) -> Sequence[float]:
        import numpy as np

        encoding = self._tokenizer.encode(asked, stored)
        check_length(len(encoding.ids), self._limit)
        given = {
            "input_ids": encoding.ids,
            "attention_mask": encoding.attention_mask,
            "token_type_ids": encoding.type_ids,
        }
        feeds = {name: np.array([given[name]], dtype=kind) for name, kind in self._inputs.items()}
        return [float(score) for score in np.ravel(self._runtime.run(None, feeds)[0])]


class TorchScorer:
    """A cross-encoder of sentence-transformers, one pair a run, one run at a time."""

    def __init__(self, model: str) -> None:
        try:
            from sentence_transformers import CrossEncoder
        except ImportError as error:
            raise MissingExtra("CrossEncoderGuard", "evals") from error
        try:
            self._model: Any = CrossEncoder(model).eval()
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise ConfigError(f"the cross-encoder {model!r} cannot be loaded: {error}") from error
        self._lock = threading.Lock()

    def scores(self, asked: str, stored: str) -> Sequence[float]:
        import numpy as np
        from torch.nn import Identity

        ids = self._model.tokenizer(asked, stored, truncation=False, verbose=False)["input_ids"]
        # The older name is deprecated in the releases that know the newer one.
        newer = hasattr(self._model, "max_seq_length")
        check_length(len(ids), self._model.max_seq_length if newer else self._model.max_length)
        with self._lock:
            found = self._model.predict([(asked, stored)], activation_fn=Identity(), show_progress_bar=False)
        return [float(score) for score in np.ravel(found)]


def check_length(tokens: int, limit: int | None) -> None:
    """Raise Unanswered for a pair of more tokens than the model reads."""
    if limit is not None and tokens > limit:
        raise Unanswered(f"the pair has {tokens} tokens, more than the {limit} that the model reads")


def read_limit(folder: Path) -> int | None:
    """Return how many tokens a model reads, by its configuration; None where that says nothing."""
    limits = []
    for file, name in (("tokenizer_config.json", "model_max_length"), ("config.json", "max_position_embeddings")):
        try:
            value = json.loads((folder / file).read_text(encoding="utf-8")).get(name)
        except (OSError, ValueError, AttributeError):
            continue
        if isinstance(value, int) and 0 < value < 10**9:  # tokenizers without a limit say a huge number
            limits.append(value)
    return min(limits, default=None)


def log_odds(scores: Sequence[float], positive: int | None) -> float:
    """Return the log odds that a pair is reusable, out of the raw scores of its labels. Raises ConfigError."""
    if len(scores) == 1:
        return scores[0]
    if positive is None or not -len(scores) <= positive < len(scores):
        raise ConfigError(f"the cross-encoder has {len(scores)} labels: say with positive=… which one means reusable")
    others = [score for label, score in enumerate(scores) if label != positive % len(scores)]
    highest = max(others)
    return scores[positive] - highest - math.log(math.fsum(math.exp(score - highest) for score in others))


def sigmoid(odds: float) -> float:
    """Return the probability of log odds, for odds of any size."""
    if odds >= 0:
        return 1.0 / (1.0 + math.exp(-odds))
    return math.exp(odds) / (1.0 + math.exp(odds))
