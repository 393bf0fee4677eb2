"""A small network's state goes from update to update as vectors, and nobody else sees them."""

import jax
import numpy as np
import pytest

from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.training import packed_state, update
from dit_grid.experiments.training.packed_state import Packed
from dit_grid.experiments.training.update import Program

UPDATES, BATCH = 3, 4
IMAGES = np.random.default_rng(0).standard_normal((UPDATES, BATCH, 8, 8, 1), np.float32)
LABELS = np.arange(UPDATES * BATCH, dtype=np.int32).reshape(UPDATES, BATCH) % 10


def program(**train) -> Program:
    asked = {"steps": 100, "batch": BATCH, "log_every": 10} | train
    size = {"size": "S", "patch": 4, "width": 16, "depth": 2, "heads": 4}
    model = size | {"image_size": 8, "channels": 1, "classes": 10, "block": "adaln-zero"}
    evaluate = {"every": 100, "settings": [{"metrics": ["heldout_loss"], "samples": 8}]}
    return Program(RunSpec.model_validate(
        {"model": model, "data": {"name": "digits"}, "train": asked, "evaluate": evaluate, "seed": 0}
    ))  # fmt: skip


ADAMW = {"name": "adamw", "learning_rate": 1e-2, "clip_norm": 0.5, "weight_decay": 0.1}
LION = {"name": "lion", "learning_rate": 1e-3}


@pytest.mark.parametrize(
    "train",
    [{"optimizer": ADAMW, "parametrization": "mup", "base_width": 8, "ema": {"decay": 0.9}}, {"optimizer": LION}],
)
def test_updates_of_vectors_are_those_of_arrays_by_themselves(monkeypatch, train):
    found = []
    for limit in (packed_state.PACKED_PARAMS, 0):
        monkeypatch.setattr(update, "PACKED_PARAMS", limit)
        one = program(**train)
        state, losses = one.advance(one.init(), IMAGES, LABELS)
        assert isinstance(state.params, jax.Array) == isinstance(one.carried, Packed) == bool(limit)
        found.append((one.whole(state), losses))
    assert str(jax.tree.structure(found[0])) == str(jax.tree.structure(found[1]))
    # Lion takes a gradient's sign, which may fall otherwise where it is all but zero
    apart = 2e-6 if train["optimizer"] is ADAMW else 2.1e-3
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=apart), *found)


def test_a_state_is_the_same_after_it_was_packed_and_later_updates_leave_it_alone():
    one = program(optimizer=ADAMW)
    begun = one.init()
    kept = jax.tree.map(np.array, begun)
    again = one.whole(one.carried.pack(begun))
    jax.tree.map(np.testing.assert_array_equal, again, kept)
    assert [leaf.sharding for leaf in jax.tree.leaves(again)] == [leaf.sharding for leaf in jax.tree.leaves(begun)]
    state, _ = one.advance(begun, IMAGES, LABELS)
    whole = one.whole(state)
    kept = jax.tree.map(np.array, whole)
    one.advance(state, IMAGES, LABELS)
    jax.tree.map(np.testing.assert_array_equal, whole, kept)


def test_the_first_updates_and_all_others_are_one_program():
    one = program(optimizer=ADAMW)
    state, _ = one.advance(one.init(), IMAGES, LABELS)
    one.advance(state, IMAGES, LABELS)
    one.advance(one.whole(one.init()), IMAGES, LABELS)
    compiled = one.step
    assert compiled._cache_size() == 1  # type: ignore[attr-defined]
