"""Captions in words: an encoder that was trained to tell images apart, the same every time, with true padding masks."""

import numpy as np
import pytest

from dit_grid.experiments.data.captioned_digits import TEXTS, captioned_digits, digit_of, text_encoder
from dit_grid.experiments.data.captions import captions_of
from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.data.digits import digits
from dit_grid.experiments.data.registry import dataset_named


def test_every_image_keeps_its_digit_and_its_split():
    ours, plain = captioned_digits(), digits()
    np.testing.assert_array_equal(digit_of(ours.labels), plain.labels)
    np.testing.assert_array_equal(ours.heldout().images, plain.heldout().images)
    assert ours.classes == len(TEXTS) == len(np.unique(ours.labels))
    assert ours.fingerprint != plain.fingerprint
    assert dataset_named("captioned-digits") is ours


def test_the_mask_is_true_where_there_are_words():
    captions = captioned_digits().captions
    lengths = [len(text.split()) for text in TEXTS]
    assert len(set(lengths)) > 3  # short and long ones, so that masks matter
    np.testing.assert_array_equal(captions.mask.sum(axis=1), lengths)
    assert captions.embeddings.shape == (len(TEXTS), max(lengths), 32)
    assert not captions.embeddings[~captions.mask].any()


def test_the_encoder_tells_which_digit_an_image_that_it_never_saw_shows():
    images, labels = captioned_digits().heldout()
    best = text_encoder().similarity(TEXTS, images).argmax(axis=1)
    # Chance is 0.1; a linear reading of 8x8 pixels reaches about 0.95.
    assert np.mean(digit_of(best) == digit_of(labels)) > 0.85


def test_training_it_again_gives_the_same_embeddings():
    before = text_encoder()
    text_encoder.cache_clear()
    assert text_encoder() is not before
    np.testing.assert_array_equal(text_encoder().encode(TEXTS).embeddings, captioned_digits().captions.embeddings)


@pytest.mark.parametrize(
    ("text", "words"), [("the digit eleven", "unknown words eleven"), ("", "0 words"), ("one " * 10, "10 words")]
)
def test_a_caption_that_cannot_be_encoded_is_refused(text, words):
    with pytest.raises(DataError, match=words):
        text_encoder().encode([text])


def test_a_dataset_without_captions_says_so():
    with pytest.raises(DataError, match="digits has class labels and no captions"):
        captions_of(digits())
