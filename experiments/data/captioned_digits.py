"""Scikit-learn's digits with captions in words in place of classes: the smallest text-conditioned training set.

Every image has one of several wordings, short and long, so that captions are padded. The encoder that turns them into
embeddings is in `text_encoder`; nothing here is downloaded.
"""

import hashlib
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from dit_grid.experiments.data.captions import Captions
from dit_grid.experiments.data.dataset import Batch, InMemoryDataset, epoch_order
from dit_grid.experiments.data.digits import digits, heldout_positions
from dit_grid.experiments.data.text_encoder import SETTINGS, Encoder, trained

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

WORDINGS = (
    "{}",
    "the digit {}",
    "a handwritten {}",
    "someone wrote the number {}",
    "a small picture of {} in ink",
    "{} is what this tiny scan of handwriting shows",
)

TEXTS = tuple(wording.format(number) for number in NUMBERS for wording in WORDINGS)
"""Every caption by number: the digit is the number divided by the count of wordings."""

WORDING_SEED = 1


class CaptionedDigits(InMemoryDataset):
    """The digits, their labels numbers of captions; the split is that of the digits themselves."""

    def __init__(self) -> None:
        images, shown = digits().all()
        # A shuffled order gives every image a wording, all wordings equally often, independent of the digit.
        wording = epoch_order(WORDING_SEED, 0, len(shown)) % len(WORDINGS)
        labels = (shown * len(WORDINGS) + wording).astype(np.int32)
        super().__init__("captioned-digits", len(TEXTS), Batch(images, labels), heldout_positions(len(shown)))
        self.fingerprint = hashlib.sha256("\n".join((self.fingerprint, SETTINGS, *TEXTS)).encode()).hexdigest()

    @cached_property
    def captions(self) -> Captions:
        """The embeddings of every caption, from an encoder trained on the 1,500 training digits on first use."""
        return text_encoder().encode(TEXTS)


@cache
def captioned_digits() -> CaptionedDigits:
    """The captioned digits."""
    return CaptionedDigits()


@cache
def text_encoder() -> Encoder:
    """The trained encoder of these captions."""
    images, labels = captioned_digits().train()
    return trained(TEXTS, labels, images)


def digit_of(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """The digit that each caption names."""
    return labels // len(WORDINGS)
