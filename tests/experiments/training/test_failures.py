"""What a failing process says of itself: the class that decides whether it is tried again, and the words."""

import errno

import pytest

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.store import StorageError, SupersededError
from dit_grid.experiments.training.failures import NonFiniteLossError, classify, failure_detail


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


def test_a_disk_that_is_full_is_said_in_the_same_words_wherever_it_was_met():
    told = failure_detail(OSError(errno.ENOSPC, "No space left on device"))
    assert told["message"].startswith("OSError: the disk is full: free space")
    named = failure_detail(FileNotFoundError(errno.ENOENT, "No such file or directory", "data/a.npy"))
    assert named["message"] == "FileNotFoundError: No such file or directory: data/a.npy"
    assert failure_detail(OSError("away"))["message"] == "OSError: away"
