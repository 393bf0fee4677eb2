"""Golden metric values and the seeded arrays they were computed on (only elementwise float64, one cast to float32)."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).parents[2] / "golden"


def feats(seed, n, d, shift=0.0, scale=1.0, decay=3.0, relu=False, tail=None):
    z = np.random.default_rng(seed).standard_normal((n, d))
    x = z + 0.5 * np.roll(z, 1, axis=1)
    x = x + 0.25 * np.roll(z, 2, axis=1)
    x = x * (scale / (1.0 + decay * (np.arange(d) / d))) + shift
    if tail is not None:
        x[:, tail[0] :] *= tail[1]
    return (np.maximum(x, 0.0) if relu else x).astype(np.float32)


def manifold(seed, n, d, k=8, shift=0.0, scale=1.0, noise=0.05, relu=False):
    draws = np.random.default_rng(seed)
    z, e, j = draws.standard_normal((n, k)), draws.standard_normal((n, d)), np.arange(d)
    z = z * scale + shift
    x = z[:, j % k] * (0.5 + 0.5 * ((j * 7) % 13) / 13)
    x = x + z[:, (j // k) % k] * (0.25 * ((j * 5) % 11) / 11)
    x = x + noise * e
    return (np.maximum(x, 0.0) if relu else x).astype(np.float32)


def logits(seed, n, k, scale=1.0, gap=0.0):
    found = np.random.default_rng(seed).standard_normal((n, k)) * scale
    if gap:
        found[np.arange(n), np.arange(n) % k] += gap
    return found.astype(np.float32)


GENERATORS = {f.__name__: f for f in (feats, manifold, logits)}


@pytest.fixture(scope="session")
def golden():
    """Reads a golden JSON file by name."""
    return lambda name: json.loads((GOLDEN / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def generated():
    """Makes the array that a golden file describes, and checks its hash where the file has one."""

    def make(described, sha=None):
        arguments = dict(described)
        array = GENERATORS[arguments.pop("fn")](**arguments)
        found = hashlib.sha256(array.tobytes()).hexdigest()[:16]
        assert sha in (None, found), "the test's input differs from the golden one; the metric is not at fault"
        return array

    return make
