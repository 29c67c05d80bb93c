"""What the cache costs a LlamaIndex query engine: `python -m evals.query_engine`.

An index of some pages, a model that answers at once, and the engine in front of them both with and without the cache.
Every row is timed in turn with the others, so that what else the machine does falls on all of them alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.llms.types import CompletionResponse, LLMMetadata
from llama_index.core.llms import CustomLLM
from llama_index_semroute import SemanticCacheQueryEngine, SemrouteEmbedding

from semroute import SemanticCache
from semroute.entry import Address

PAGES = [
    f"Branch {number} is in street {number * 7}. It opens at {6 + number % 5} and closes at {16 + number % 6}. "
    f"Its manager has room {number * 3} and the code of the side door is {number * 1337}."
    for number in range(200)
]
ASKED = "When does branch {number} open in the morning?"
IN_OTHER_WORDS = "when does branch {number} open in the mornings"


class InstantLLM(CustomLLM):
    """Answers at once: what is timed is everything else."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="instant")

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text="It opens early, and the page says when.")

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
        yield self.complete(prompt, formatted, **kwargs)


def timed(act: Callable[[], Any]) -> tuple[float, Any]:
    """Return how long a call took, in milliseconds, and what it returned."""
    began = time.perf_counter()
    result = act()
    return (time.perf_counter() - began) * 1e3, result


def measure(folder: Path, rounds: int) -> dict[str, float]:
    """Return the medians of all rows, in milliseconds."""
    cache = SemanticCache(folder / "answers.db", verifier=None)
    embedder = cache.embedder
    embedding = SemrouteEmbedding(embedder)
    documents = [Document(text=page, doc_id=f"branch-{number}") for number, page in enumerate(PAGES)]
    index = VectorStoreIndex.from_documents(documents, embed_model=embedding)
    bare = index.as_query_engine(llm=InstantLLM())
    engine = SemanticCacheQueryEngine(bare, cache=cache, corpus="branches")
    rows: dict[str, list[float]] = {}
    for number in range(rounds + 5):
        asked, reworded = ASKED.format(number=number), IN_OTHER_WORDS.format(number=number)
        fresh = f"Who has the code of the side door of branch {number}?"
        timings = {
            "inner": timed(lambda fresh=fresh: bare.query(fresh))[0],
            "miss": timed(lambda asked=asked: engine.query(asked))[0],
            "l1": timed(lambda asked=asked: engine.query(asked))[0],
        }
        timings["embed"], vectors = timed(lambda reworded=reworded: embedder.embed([reworded]))
        request = engine.explain(asked)  # opens what is still to be opened, and serves nothing
        address = _address_of(engine, asked)
        timings["search"] = timed(
            lambda vector=vectors[0], address=address: cache.store.search(
                address, vector, embedder=embedder.identity, k=5, now=time.time()
            )
        )[0]
        timings["l2"], response = timed(lambda reworded=reworded: engine.query(reworded))
        is_l2 = response.metadata["semroute"]["tier"] == "l2"
        if number >= 5 and request is not None:
            for name, value in timings.items():
                if name != "l2" or is_l2:
                    rows.setdefault(name, []).append(value)
    cache.close()
    medians = {name: statistics.median(values) for name, values in rows.items()}
    return {
        **medians,
        "l2_hits": float(len(rows.get("l2", []))),
        "miss_overhead": medians["miss"] - medians["inner"],
        "l2_less_embed_and_search": medians["l2"] - medians["embed"] - medians["search"],
    }


def _address_of(engine: SemanticCacheQueryEngine, asked: str) -> Address:
    from llama_index.core.schema import QueryBundle

    request = engine._asker.request(QueryBundle(asked))
    return engine.cache._keyring.require().address(request)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=150, help="how many questions (at most 195)")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), min(given.rounds, len(PAGES) - 5))
    if given.json:
        print(json.dumps(rows))
        return
    print("p50 in ms, one after the other in the same run")
    for name, value in rows.items():
        print(f"  {name:26} {value:8.3f}")


if __name__ == "__main__":
    main()
