"""Bringing together what the processes of a run computed on their own: arrays of any type, bit for bit.

JAX's own gathering would make float64 float32, and wants one shape of all.
"""

import jax
import numpy as np
from jax.experimental import multihost_utils


def gathered(array: np.ndarray) -> list[np.ndarray]:
    """The arrays of all processes in the order of their ranks; lengths of the first axis may differ, not the rest.

    Every process must call it. Alone, a process gets its own array back.
    """
    if jax.process_count() == 1:
        return [array]
    content = np.ascontiguousarray(array)
    lengths = np.asarray(multihost_utils.process_allgather(np.array([len(content)], np.int32))).ravel()
    row_bytes = content.dtype.itemsize * int(np.prod(content.shape[1:]))
    padded = np.zeros(int(lengths.max()) * row_bytes, np.uint8)
    padded[: content.nbytes] = content.view(np.uint8).ravel() if content.size else 0
    parts = np.asarray(multihost_utils.process_allgather(padded)).reshape(len(lengths), -1)
    return [
        part[: length * row_bytes].view(content.dtype).reshape(length, *content.shape[1:])
        for part, length in zip(parts, lengths, strict=True)
    ]
