"""Embedding models of LlamaIndex for the cache, and the cache's embedder for an index."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.schema import TextNode
from llama_index_semroute.embeddings import LlamaIndexEmbedder, SemrouteEmbedding, _windows
from pydantic import PrivateAttr

from semroute import SemanticCache
from semroute.embedders import Embedder
from semroute.embedders.onnx import OnnxEmbedder
from semroute.errors import ConfigError, EmbedderError
from semroute.testing.embedder_suite import EmbedderSuite
from semroute.testing.embedders import FailingEmbedder, HashEmbedder

if TYPE_CHECKING:
    from numpy.typing import NDArray


class _Named(BaseEmbedding):
    """An embedding model that answers with what it is told to, or by words; counts what it is asked."""

    dimensions: int | None = None
    _answer: Any = PrivateAttr(default=None)
    _asked: list[str] = PrivateAttr(default_factory=list)

    def __init__(self, answer: list[float] | Exception | None = None, **fields: Any) -> None:
        super().__init__(**fields)
        self._answer = answer

    def _get_query_embedding(self, query: str) -> list[float]:
        self._asked.append(query)
        if isinstance(self._answer, Exception):
            raise self._answer
        return list(HashEmbedder().embed([query])[0].tolist()) if self._answer is None else self._answer

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        raise AssertionError("questions are compared with questions")


class TestLlamaIndexEmbedder(EmbedderSuite):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return LlamaIndexEmbedder(_Named(model_name="words"))

    @pytest.fixture
    def other_embedder(self) -> Embedder:
        return LlamaIndexEmbedder(_Named(model_name="words", dimensions=32))


class TestSemrouteEmbeddingRoundTrip(EmbedderSuite):
    """What an index gets of the cache's embedder is as good an embedder as that one."""

    @pytest.fixture
    def embedder(self) -> Embedder:
        class Back(LlamaIndexEmbedder):
            def __init__(self, model: SemrouteEmbedding) -> None:
                super(LlamaIndexEmbedder, self).__init__(model.get_query_embedding, "back", 500)

        return Back(SemrouteEmbedding(HashEmbedder()))


def test_rows_are_brought_to_length_1_and_it_says_whether_they_were() -> None:
    long, short = LlamaIndexEmbedder(_Named([3.0, 4.0], model_name="m")), LlamaIndexEmbedder(_Named(model_name="m"))
    assert (long.is_unit, short.is_unit) == (None, None)
    np.testing.assert_allclose(long.embed(["text"]), [[0.6, 0.8]])
    short.embed(["text"])
    assert (long.is_unit, short.is_unit) == (False, True)


def test_one_row_of_another_length_is_remembered() -> None:
    model = _Named([1.0, 0.0], model_name="m")
    embedder = LlamaIndexEmbedder(model)
    for row, is_unit in (([1.0, 0.0], True), ([1.0, 0.1], False), ([1.0, 0.0], False)):
        model._answer = row
        embedder.embed(["text"])
        assert embedder.is_unit is is_unit


def test_its_identity_follows_class_model_and_dimensions() -> None:
    def identity(model: str, dimensions: int | None = None) -> str:
        return LlamaIndexEmbedder(_Named(model_name=model, dimensions=dimensions)).identity

    assert identity("small") == identity("small")
    assert len({identity("small"), identity("large"), identity("small", 256)}) == 3
    assert identity("small").startswith("llama-index-small-")


def test_a_model_that_does_not_name_itself_needs_an_identity() -> None:
    with pytest.raises(ConfigError, match=r"MockEmbedding does not say which model.*LlamaIndexEmbedder an identity="):
        LlamaIndexEmbedder(MockEmbedding(8))
    assert LlamaIndexEmbedder(MockEmbedding(8), identity="mock-8").embed([]).shape == (0, 8)


@pytest.mark.parametrize("model", [HashEmbedder(), SemrouteEmbedding(HashEmbedder())])
def test_what_is_no_model_to_be_wrapped_is_refused(model: Any) -> None:
    with pytest.raises(ConfigError):
        LlamaIndexEmbedder(model, identity="x")


def test_an_error_of_the_provider_becomes_an_embedder_error_with_its_cause() -> None:
    cause = ConnectionError("refused")
    with pytest.raises(EmbedderError, match="failed: ConnectionError: refused") as raised:
        LlamaIndexEmbedder(_Named(cause, model_name="m")).embed(["text"])
    assert raised.value.__cause__ is cause


@pytest.mark.parametrize("answer", [[0.0, 0.0], [float("nan"), 1.0], [float("inf"), 1.0]])
def test_a_vector_without_a_direction_is_an_embedder_error(answer: list[float]) -> None:
    with pytest.raises(EmbedderError, match="zero or not finite"):
        LlamaIndexEmbedder(_Named(answer, model_name="m")).embed(["text"])


def test_a_text_over_the_limit_does_not_fit() -> None:
    embedder = LlamaIndexEmbedder(_Named(model_name="m"), max_characters=4)
    assert embedder.fits("four")
    assert not embedder.fits("fiver")
    with pytest.raises(ConfigError, match="max_characters=0"):
        LlamaIndexEmbedder(_Named(model_name="m"), max_characters=0)


class _Counting:
    """An embedder that takes few words and keeps what it was given, and on which threads."""

    def __init__(self, max_words: int = 5) -> None:
        self._inner = HashEmbedder(max_words=max_words)
        self.given: list[str] = []
        self.threads: set[int] = set()

    @property
    def identity(self) -> str:
        return self._inner.identity

    def fits(self, text: str) -> bool:
        return self._inner.fits(text)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.given += texts
        self.threads.add(threading.get_ident())
        assert all(map(self.fits, texts)), "a text over the limit is never embedded"
        return self._inner.embed(texts)


class TestSemrouteEmbedding:
    def test_a_short_text_and_a_question_have_the_vector_that_the_cache_compares(self) -> None:
        embedding, alone = SemrouteEmbedding(HashEmbedder()), HashEmbedder().embed(["cats and dogs"])[0]
        np.testing.assert_allclose(embedding.get_text_embedding("cats and dogs"), alone, atol=1e-6)
        np.testing.assert_allclose(embedding.get_query_embedding("cats and dogs"), alone, atol=1e-6)

    async def test_its_async_face_gives_the_same_and_embeds_on_another_thread(self) -> None:
        counting = _Counting()
        embedding = SemrouteEmbedding(counting)
        texts = ["cats", "dogs and cats", "one two three four five six seven eight"]
        found = [await embedding.aget_query_embedding(texts[0]), await embedding.aget_text_embedding(texts[1])]
        assert found == embedding.get_text_embedding_batch(texts)[:2]
        assert await embedding.aget_text_embedding_batch(texts) == embedding.get_text_embedding_batch(texts)
        counting.threads.clear()
        await asyncio.gather(*[embedding.aget_query_embedding(text) for text in texts])
        assert threading.get_ident() not in counting.threads

    def test_a_long_text_is_the_mean_of_windows_that_fit_and_hold_all_of_it(self) -> None:
        counting = _Counting()
        text = "Cats sleep. Dogs bark at night. Birds sing in the morning, and fish are silent all day."
        vector = np.array(SemrouteEmbedding(counting).get_text_embedding(text))
        assert len(counting.given) > 2
        assert "".join(counting.given) == text
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        nearest = HashEmbedder().embed(["birds sing in the morning", "prices of steel"]) @ vector
        assert nearest[0] > nearest[1] + 0.2

    def test_windows_are_weighted_by_their_length(self) -> None:
        text = "incomprehensibilities counterrevolutionaries. a b"
        windows = list(_windows(HashEmbedder(max_words=2), text))
        lengths = [len(window) for window in windows]
        assert max(lengths) > 3 * min(lengths)
        mean = np.average(HashEmbedder().embed(windows), axis=0, weights=lengths)
        found = SemrouteEmbedding(HashEmbedder(max_words=2)).get_text_embedding(text)
        np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-6)

    def test_it_cuts_at_the_ends_of_sentences_where_there_are_any(self) -> None:
        windows = list(_windows(_Counting(), "Cats sleep all day long. Dogs bark all night long."))
        assert windows == ["Cats sleep all day long. ", "Dogs bark all night long."]

    @given(st.text(max_size=120), st.integers(1, 6))
    def test_whatever_the_text_windows_fit_and_lose_nothing(self, text: str, most: int) -> None:
        embedder = HashEmbedder(max_words=most)
        windows = list(_windows(embedder, text))
        assert "".join(windows) == text
        assert all(map(embedder.fits, windows))

    @pytest.mark.parametrize("texts", [[], [""], ["", "cats"]])
    def test_empty_texts_are_no_error(self, texts: list[str]) -> None:
        found = SemrouteEmbedding(HashEmbedder())._get_text_embeddings(texts)
        np.testing.assert_allclose([np.linalg.norm(row) for row in found], [1.0] * len(texts), atol=1e-5)

    def test_an_embedder_that_fails_says_so(self) -> None:
        with pytest.raises(EmbedderError, match="broken"):
            SemrouteEmbedding(FailingEmbedder()).get_text_embedding("cats")

    @pytest.mark.parametrize("embedder", [MockEmbedding(8), "local"])
    def test_what_is_no_embedder_is_refused(self, embedder: Any) -> None:
        with pytest.raises(ConfigError, match="embedder must be one of the cache"):
            SemrouteEmbedding(embedder)

    def test_making_one_loads_nothing(self) -> None:
        embedding = SemrouteEmbedding()
        assert isinstance(embedding.embedder, OnnxEmbedder)
        assert not embedding.embedder.is_ready


class TestWrittenDown:
    def test_it_comes_back_from_its_dict_with_the_same_embedder(self) -> None:
        embedding = SemrouteEmbedding(HashEmbedder(seed=3), embed_batch_size=7)
        data = embedding.to_dict()
        assert (data["class_name"], data["identity"]) == ("SemrouteEmbedding", HashEmbedder(seed=3).identity)
        back = SemrouteEmbedding.from_dict(data, embedder=HashEmbedder(seed=3))
        assert back.embed_batch_size == 7
        assert back.get_text_embedding("cats") == embedding.get_text_embedding("cats")

    def test_another_embedder_than_the_one_written_down_is_an_error_at_first_use(self) -> None:
        data = SemrouteEmbedding(HashEmbedder(seed=3)).to_dict()
        back = SemrouteEmbedding.from_dict(data, embedder=HashEmbedder(seed=4))
        with pytest.raises(ConfigError, match=r"hash-64-3.*has hash-64-4 now"):
            back.get_query_embedding("cats")

    def test_copies_share_the_embedder_and_pickles_keep_it(self) -> None:
        embedding = SemrouteEmbedding(HashEmbedder(seed=3))
        assert copy.deepcopy(embedding).embedder is embedding.embedder
        back = pickle.loads(pickle.dumps(embedding))
        assert back.get_text_embedding("cats") == embedding.get_text_embedding("cats")

    def test_an_ingestion_pipeline_does_not_take_the_vectors_of_another_embedder(self) -> None:
        def ingested(seed: int, pipeline: IngestionPipeline) -> list[float]:
            pipeline.transformations = [SemrouteEmbedding(HashEmbedder(seed=seed))]
            (node,) = pipeline.run(nodes=[TextNode(text="cats", id_="1")])
            assert node.embedding is not None
            return node.embedding

        pipeline = IngestionPipeline(transformations=[])
        assert ingested(1, pipeline) == ingested(1, pipeline)
        assert ingested(1, pipeline) != ingested(2, pipeline)


class TestWithTheCache:
    def test_an_index_and_the_cache_share_one_embedder(self) -> None:
        embedding = SemrouteEmbedding(HashEmbedder())
        index = VectorStoreIndex.from_documents(
            [Document(text="Cats sleep all day."), Document(text="Steel is made of iron.")], embed_model=embedding
        )
        cache = SemanticCache("memory://", embedder=embedding.embedder)
        (found,) = index.as_retriever(similarity_top_k=1).retrieve("When do cats sleep?")
        assert found.text == "Cats sleep all day."
        assert cache.embedder is embedding.embedder
        cache.close()

    def test_a_cache_compares_by_a_model_of_llama_index(self) -> None:
        model = _Named(model_name="words")
        cache = SemanticCache("memory://", embedder=LlamaIndexEmbedder(model), guards=(), embed_deadline_s=60.0)
        cache.update("What is a ring?", "a ring")
        assert cache.lookup("what is a ring").tier == "l2"
        assert model._asked == ["What is a ring?", "what is a ring"]
        cache.close()


class TestWithTheRealModel:
    @pytest.fixture(scope="class")
    @classmethod
    def embedding(cls) -> SemrouteEmbedding:
        return SemrouteEmbedding()

    def test_a_chunk_of_the_default_size_is_embedded_whole(self, embedding: SemrouteEmbedding) -> None:
        sentence = "The ring of shards moves about one part in N of its keys when the N-th server joins. "
        chunk = sentence * 40 + "Penguins live in the south."
        vector = np.array(embedding.get_text_embedding(chunk))
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)
        without = np.array(embedding.get_text_embedding(sentence * 40))
        penguins = np.array(embedding.get_query_embedding("Where do penguins live?"))
        assert float(vector @ penguins) > float(without @ penguins)

    def test_a_short_text_with_an_emoji_is_one_window(self, embedding: SemrouteEmbedding) -> None:
        text = "Where are my 🙂 friends? They left an hour ago."
        assert not embedding.embedder.fits(text)
        assert list(_windows(embedding.embedder, text)) == [text]
        long = text * 40
        windows = list(_windows(embedding.embedder, long))
        assert "".join(windows) == long
        assert 3 <= len(windows) <= 16
        assert len(embedding.get_text_embedding(long)) == 384
