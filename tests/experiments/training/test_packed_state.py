"""A small network's state goes from update to update as vectors, and nobody else sees them."""

from typing import Any

import jax
import numpy as np
import pytest

from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.training import update
from dit_grid.experiments.training.packed_state import AsItIs, Packed
from dit_grid.experiments.training.update import Program

UPDATES, BATCH = 3, 4
IMAGES = np.random.default_rng(0).standard_normal((UPDATES, BATCH, 8, 8, 1), np.float32)
LABELS = np.arange(UPDATES * BATCH, dtype=np.int32).reshape(UPDATES, BATCH) % 10


def program(**train) -> Program:
    asked = {"steps": 100, "batch": BATCH, "log_every": 10} | train
    size = {"size": "S", "patch": 4, "width": 8, "depth": 1, "heads": 2}
    model = size | {"image_size": 8, "channels": 1, "classes": 10, "block": "adaln-zero"}
    evaluate = {"every": 100, "settings": [{"metrics": ["heldout_loss"], "samples": 8}]}
    return Program(RunSpec.model_validate(
        {"model": model, "data": {"name": "digits"}, "train": asked, "evaluate": evaluate, "seed": 0}
    ))  # fmt: skip


ADAMW = {"name": "adamw", "learning_rate": 1e-2, "clip_norm": 0.5, "weight_decay": 0.1}


@pytest.fixture(scope="module")
def packed() -> Program:
    return program(optimizer=ADAMW, parametrization="mup", base_width=4, ema={"decay": 0.9})


def test_updates_of_vectors_are_those_of_arrays_by_themselves(monkeypatch, packed):
    monkeypatch.setattr(update, "PACKED_PARAMS", 0)
    plain = Program(packed.run)
    found = []
    for one, carried in ((packed, Packed), (plain, AsItIs)):
        state, losses = one.advance(one.init(), IMAGES, LABELS)
        assert isinstance(one.carried, carried)
        assert isinstance(state.params, jax.Array) == (one is packed)
        found.append((one.whole(state), losses))
    assert str(jax.tree.structure(found[0])) == str(jax.tree.structure(found[1]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6), *found)


@pytest.mark.parametrize("name", ["adam", "lion", "sgd"])
def test_a_state_of_every_optimizer_is_the_same_after_it_was_packed(name):
    one = program(optimizer={"name": name, "learning_rate": 1e-3})
    draw = np.random.default_rng(0)
    state = jax.tree.map(lambda like: draw.standard_normal(like.shape).astype(like.dtype), one.state_shapes())
    jax.tree.map(np.testing.assert_array_equal, one.whole(one.carried.pack(state)), state)


def test_later_updates_leave_a_whole_state_alone(packed):
    state, _ = packed.advance(packed.init(), IMAGES, LABELS)
    whole = packed.whole(state)
    kept = jax.tree.map(np.array, whole)
    packed.advance(state, IMAGES, LABELS)
    jax.tree.map(np.testing.assert_array_equal, whole, kept)
    begun = packed.init()
    assert [leaf.sharding for leaf in jax.tree.leaves(whole)] == [leaf.sharding for leaf in jax.tree.leaves(begun)]


def test_the_first_updates_and_all_others_are_one_program(packed):
    state, _ = packed.advance(packed.init(), IMAGES, LABELS)
    packed.advance(state, IMAGES, LABELS)
    packed.advance(packed.whole(packed.init()), IMAGES, LABELS)
    compiled: Any = packed.step
    assert compiled._cache_size() == 1
