"""What every embedder must do, as a pytest class: subclass it and override the fixtures."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from semroute.embedders import Embedder

TEXTS = (
    "How do I cancel an order that was placed yesterday?",
    "Which documents does a visa application need?",
    "why",
    "Explain the difference between a mutex and a semaphore, with an example of a case where only one of them works.",
    "Wie lange dauert der Versand nach Österreich?",
)
STRANGE_TEXTS = (
    "",
    "   \n\t ",
    "null\x00byte and bell\x07",
    "a lone \ud800 surrogate",
    "👩‍👩‍👧 🙂",
    "כיצד מבטלים הזמנה?",
    "\u202eright to left override",
    "%PDF-1.4 \x89PNG\r\n\x1a\n",
)


class EmbedderSuite:
    """Tests of the Embedder contract; override `embedder`, and `other_embedder` where there is a second model."""

    @pytest.fixture
    def embedder(self) -> Embedder:
        raise NotImplementedError("override the fixture `embedder`")

    @pytest.fixture
    def other_embedder(self) -> Embedder | None:
        return None

    def test_it_satisfies_the_protocol(self, embedder: Embedder) -> None:
        assert isinstance(embedder, Embedder)

    def test_it_gives_one_float32_row_of_length_1_for_each_text(self, embedder: Embedder) -> None:
        vectors = embedder.embed(TEXTS)
        assert vectors.dtype == np.float32
        assert vectors.ndim == 2
        assert len(vectors) == len(TEXTS)
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)

    def test_no_texts_give_no_rows_of_the_same_width(self, embedder: Embedder) -> None:
        assert embedder.embed([]).shape == (0, embedder.embed(TEXTS[:1]).shape[1])

    def test_different_texts_have_different_vectors(self, embedder: Embedder) -> None:
        similarities = embedder.embed(TEXTS) @ embedder.embed(TEXTS).T
        assert (similarities[~np.eye(len(TEXTS), dtype=bool)] < 0.99).all()

    def test_a_text_has_the_same_vector_alone_and_in_any_list(self, embedder: Embedder) -> None:
        together = embedder.embed(TEXTS)
        backwards = embedder.embed(TEXTS[::-1])[::-1]
        alone = np.concatenate([embedder.embed([text]) for text in TEXTS])
        np.testing.assert_allclose(together, alone, atol=1e-6)
        np.testing.assert_allclose(backwards, alone, atol=1e-6)

    def test_a_text_has_the_same_vector_while_other_threads_embed(self, embedder: Embedder) -> None:
        alone = embedder.embed(TEXTS)
        with ThreadPoolExecutor(4) as pool:
            under_load = list(pool.map(embedder.embed, [TEXTS] * 8))
        for vectors in under_load:
            np.testing.assert_allclose(vectors, alone, atol=1e-6)

    def test_its_identity_is_stable_and_not_empty(self, embedder: Embedder) -> None:
        before = embedder.identity
        embedder.embed(TEXTS[:1])
        assert before
        assert embedder.identity == before

    def test_another_model_has_another_identity(self, embedder: Embedder, other_embedder: Embedder | None) -> None:
        assert other_embedder is None or other_embedder.identity != embedder.identity

    def test_questions_fit(self, embedder: Embedder) -> None:
        assert embedder.fits(TEXTS[0])

    @pytest.mark.parametrize("text", STRANGE_TEXTS, ids=ascii)
    def test_strange_texts_have_unit_vectors_too(self, embedder: Embedder, text: str) -> None:
        assert isinstance(embedder.fits(text), bool)
        assert np.linalg.norm(embedder.embed([text])[0]) == pytest.approx(1, abs=1e-5)
