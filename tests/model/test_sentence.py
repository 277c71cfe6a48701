"""MiniLM: unit vectors, meaning, cache."""

import numpy as np
import pytest

from citrus_agent.model.sentence import WIDTH, SentenceEncoder


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    return SentenceEncoder(keep=4)


def test_vectors_have_length_one(encoder):
    vectors = encoder.encode(["Where is the lesion?", "", "x" * 5000])
    assert vectors.shape == (3, WIDTH)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_like_meaning_is_nearer_than_other_meaning(encoder):
    size, large, poem = encoder.encode(["What size is the tumour?", "How big is the tumor?", "Write a poem about spring."])
    assert size @ large > size @ poem + 0.3


def test_a_text_has_one_vector_whatever_stands_beside_it(encoder):
    alone = encoder.encode(["How big is it?"])[0]
    fresh = SentenceEncoder(keep=4).encode(["How big is it?", "A much longer text that makes the batch pad the short one a good deal."])[0]
    np.testing.assert_allclose(alone, fresh, atol=1e-5)


def test_cache_is_bounded_and_serves_batches_larger_than_itself(encoder):
    texts = [f"question {i}" for i in range(9)]
    assert encoder.encode(texts).shape == (9, WIDTH)
    assert len(encoder._cache) <= 4


def test_nothing_in_nothing_out(encoder):
    assert encoder.encode([]).shape == (0, WIDTH)


def test_digest_is_the_weights(encoder):
    assert len(encoder.digest) == 64
