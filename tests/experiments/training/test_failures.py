"""What a failing process says of itself: the class that decides whether it is tried again."""

import pytest

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.store import StorageError, SupersededError
from dit_grid.experiments.training.failures import NonFiniteLossError, classify


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NonFiniteLossError("between steps 1 and 100"), "nan"),
        (DataError("no images in it"), "bad-input"),
        (ValueError("a batch of 4 images does not divide among 8 devices"), "bad-input"),
        (ValueError("UNKNOWN: Gloo all-reduce failed: Read error"), "error"),
        (ValueError("DEADLINE_EXCEEDED: Barrier timed out"), "error"),
        (ValueError("RESOURCE_EXHAUSTED: Out of memory allocating 17 bytes"), "out-of-memory"),
        (MemoryError(), "out-of-memory"),
        (OSError("no space left on device"), "storage"),
        (StorageError("cannot write it"), "storage"),
        (SupersededError("a later attempt"), "superseded"),
        (TypeError("x"), "error"),
    ],
)
def test_each_error_has_its_class(error, expected):
    assert classify(error) == expected
