"""The sets with judged answers of several models: where they come from, and how they are read and embedded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from evals.datasets import File
from semroute.errors import ConfigError
from semroute.evaluation.tables import label_of, read_rows, text_of
from semroute.request import fold
from semroute.router._prompt_features import asked_part

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evals.kept_vectors import KeptEmbedder
    from semroute.evaluation.routing import Numbers
    from semroute.evaluation.vectors import Track

WEAK, STRONG = "mistralai/mixtral-8x7b-chat", "gpt-4-1106-preview"
"""The pair of RouteLLM's sets, as RouterBench names them."""
_DIMENSIONS: Final = 384


@dataclass(frozen=True, slots=True)
class Source:
    """One set."""

    name: str
    title: str
    source: str
    licence: str
    file: File


SOURCES: Final = (
    Source(
        "mmlu",
        "MMLU, Mixtral against GPT-4",
        "lm-sys/RouteLLM 0b64fda, routellm/evals/mmlu",
        "Apache-2.0; questions MIT",
        File("routing/routellm_mmlu.csv.gz", "ce82541c2bbf4c1eb1412dee2a16507bd61294374dab366c91978109aab761fa"),
    ),
    Source(
        "gsm8k",
        "GSM8K, Mixtral against GPT-4",
        "lm-sys/RouteLLM 0b64fda, routellm/evals/gsm8k",
        "Apache-2.0; questions MIT",
        File("routing/routellm_gsm8k.csv", "13e7fcfa61f87fb2e2c0ce9dcd3ea2e35c7a5abef045aa2a57ba1a711aec9e25"),
    ),
    Source(
        "routerbench",
        "RouterBench: ARC challenge, WinoGrande, MBPP; 11 models",
        "shuhao02/RouterDC 0e63989, datasets/routerbench_zs",
        "none stated; RouterBench itself MIT",
        File("routing/routerbench_partial.csv.gz", "9c1b171c069e77176d512fb7fd97bdb13753302c847bd1c4834a840636bd30bc"),
    ),
)


@dataclass(frozen=True, slots=True, eq=False)
class PromptSet:
    """Prompts with the quality of several models' answers, and their vectors."""

    name: str
    title: str
    prompts: Sequence[str]
    """Folded, as the cache folds a query."""
    models: Sequence[str]
    quality: Numbers
    """1 for a right answer, shape (prompts, models)."""
    cost: Numbers | None
    """In US dollars, shape (prompts, models)."""
    vectors: NDArray[np.float32]
    has_vector: NDArray[np.bool_]
    """False for a prompt over the embedder's limit: it has no vector in the flow either."""
    fits_whole: NDArray[np.bool_]
    """Whether the prompt had a vector too if its worked examples stood in the same message."""
    dropped: int
    """Rows that are left out: contaminated ones, and those without every model's answer."""
    is_as_measured: bool

    @property
    def lengths(self) -> Numbers:
        return np.array([len(prompt) for prompt in self.prompts], np.float64)

    def of(self, model: str) -> Numbers:
        """Return the quality of one model."""
        return self.quality[:, list(self.models).index(model)]


def read_sets(data: str, embedder: KeptEmbedder, track: Track, limit: int | None = None) -> dict[str, PromptSet]:
    """Read and embed every set, by its name. Raises ConfigError."""
    return {
        source.name: _embedded(*_read(source, Path(data).expanduser(), limit), embedder, track) for source in SOURCES
    }


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    whole: Sequence[str]
    models: Sequence[str]
    quality: Numbers
    cost: Numbers | None
    dropped: int
    is_as_measured: bool


def _read(source: Source, data: Path, limit: int | None) -> tuple[Source, _Read]:
    path = data / source.file.path
    if not path.is_file():
        raise ConfigError(f"there is no file {path}; name a data folder that holds {source.file.path}")
    rows = read_rows(path, columns={"prompt"}, limit=limit)
    with path.open("rb") as content:
        is_as_measured = hashlib.file_digest(content, "sha256").hexdigest() == source.file.sha256
    if source.name == "routerbench":
        models = sorted(name.removeprefix("perf:") for name in rows[0] if name.startswith("perf:"))
        kept = [row for row in rows if all(row[f"perf:{model}"] != "" for model in models)]
        quality, cost = (
            np.array([[float(text_of(row, f"{kind}:{model}")) for model in models] for row in kept])
            for kind in ("perf", "cost")
        )
    else:
        models, cost = [WEAK, STRONG], None
        kept = [row for row in rows if not label_of(row, "contaminated")]
        quality = np.array([[label_of(row, "weak_correct"), label_of(row, "strong_correct")] for row in kept], float)
    whole = [fold(text_of(row, "prompt")) for row in kept]
    return source, _Read(whole, models, quality, cost, len(rows) - len(kept), is_as_measured)


def _embedded(source: Source, read: _Read, embedder: KeptEmbedder, track: Track) -> PromptSet:
    """Embed what is asked: the worked examples before it would stand in earlier turns, which are context."""
    prompts = [asked_part(text) for text in read.whole]
    embedder.prepare(prompts, track)
    vectors, has_vector = vectors_of(prompts, embedder)
    is_whole = np.array([whole == prompt for whole, prompt in zip(read.whole, prompts, strict=True)], np.bool_)
    return PromptSet(
        name=source.name,
        title=source.title,
        prompts=prompts,
        models=read.models,
        quality=read.quality,
        cost=read.cost,
        vectors=vectors,
        has_vector=has_vector,
        # What is longer than the limit with its examples is every prompt that has any, in these sets.
        fits_whole=has_vector & is_whole,
        dropped=read.dropped,
        is_as_measured=read.is_as_measured,
    )


def vectors_of(prompts: Sequence[str], embedder: KeptEmbedder) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return vectors, and which prompts have one; the others' are zeros."""
    has_vector = np.array([embedder.fits(prompt) for prompt in prompts], np.bool_)
    vectors = np.zeros((len(prompts), _DIMENSIONS), np.float32)
    if has_vector.any():
        vectors[has_vector] = embedder.embed([prompts[place] for place in np.flatnonzero(has_vector)])
    return vectors, has_vector
