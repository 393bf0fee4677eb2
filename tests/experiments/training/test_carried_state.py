"""On a core a state goes from update to update as vectors or by blocks, and nobody else sees either."""

import re
from typing import Any

import jax
import numpy as np
import pytest

from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.training import update
from dit_grid.experiments.training.carried_state import AsItIs, ByBlocks, Packed
from dit_grid.experiments.training.update import Program

UPDATES, BATCH = 3, 4
IMAGES = np.random.default_rng(0).standard_normal((UPDATES, BATCH, 8, 8, 1), np.float32)
LABELS = np.arange(UPDATES * BATCH, dtype=np.int32).reshape(UPDATES, BATCH) % 10


def program(**train) -> Program:
    asked = {"steps": 60, "batch": BATCH, "log_every": 2 * UPDATES} | train
    size = {"size": "S", "patch": 4, "width": 8, "depth": 2, "heads": 2}
    model = size | {"image_size": 8, "channels": 1, "classes": 10, "block": "adaln-zero"}
    evaluate = {"every": 60, "settings": [{"metrics": ["heldout_loss"], "samples": 8}]}
    return Program(RunSpec.model_validate(
        {"model": model, "data": {"name": "digits"}, "train": asked, "evaluate": evaluate, "seed": 0}
    ))  # fmt: skip


ADAMW = {"name": "adamw", "learning_rate": 1e-2, "clip_norm": 0.5, "weight_decay": 0.1}


FORMS = {Packed: jax.Array, ByBlocks: list}


def carried_as(form: type, **train) -> Program:
    with pytest.MonkeyPatch.context() as patch:
        if form is not Packed:
            patch.setattr(update, "PACKED_PARAMS", 0)
        if form is AsItIs:
            patch.setattr(Program, "_carried", lambda self, unrolled: AsItIs(self.state_shapes(), self._sharding))
        made = program(**train)
    assert isinstance(made.carried, form)
    return made


def trained(form: type) -> Program:
    return carried_as(form, optimizer=ADAMW, parametrization="mup", base_width=4, ema={"decay": 0.9})


@pytest.fixture(scope="module", params=FORMS)
def carried(request) -> Program:
    return trained(request.param)


def test_updates_of_every_form_are_those_of_arrays_as_they_are(carried):
    plain, found = trained(AsItIs), []
    for one in (carried, plain):
        state, losses = one.advance(one.init(), IMAGES, LABELS)
        assert isinstance(state.params, FORMS.get(type(one.carried), type(one.init().params)))
        found.append((one.whole(state), losses))
    assert str(jax.tree.structure(found[0])) == str(jax.tree.structure(found[1]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6), *found)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["lion", "sgd"])
def test_a_state_of_every_optimizer_is_the_same_after_it_was_packed(name, form):
    one = carried_as(form, optimizer={"name": name, "learning_rate": 1e-3})
    draw = np.random.default_rng(0)
    state = jax.tree.map(lambda like: draw.standard_normal(like.shape).astype(like.dtype), one.state_shapes())
    packed = one.carried.pack(state)
    assert jax.tree.map(lambda leaf: leaf.shape, packed) == jax.tree.map(lambda like: like.shape, one.carried.shapes)
    jax.tree.map(np.testing.assert_array_equal, one.whole(packed), state)


def test_later_updates_leave_a_whole_state_alone(carried):
    state, _ = carried.advance(carried.init(), IMAGES, LABELS)
    whole = carried.whole(state)
    kept = jax.tree.map(np.array, whole)
    carried.advance(state, IMAGES, LABELS)
    jax.tree.map(np.testing.assert_array_equal, whole, kept)
    begun = carried.init()
    assert [leaf.sharding for leaf in jax.tree.leaves(whole)] == [leaf.sharding for leaf in jax.tree.leaves(begun)]


def test_the_first_updates_and_all_others_are_one_program(carried):
    state, _ = carried.advance(carried.init(), IMAGES, LABELS)
    carried.advance(state, IMAGES, LABELS)
    carried.advance(carried.whole(carried.init()), IMAGES, LABELS)
    compiled: Any = carried.step
    assert compiled._cache_size() == 1


def compiled_update(one: Program) -> jax.stages.Compiled:
    return one.step.lower(one.carried.shapes, np.int32(0), IMAGES[:1], LABELS[:1]).compile()


def test_blocks_by_themselves_are_not_copied_out_of_a_stack_nor_their_gradients_into_one():
    one = carried_as(ByBlocks)
    text = compiled_update(one).as_text()
    stacked = [leaf.shape for leaf in jax.tree.leaves(one.init().params["blocks"]) if leaf.size > 256]
    assert text is not None
    assert stacked
    assert not [shape for shape in stacked if f"f32[{','.join(map(str, shape))}]" in text]


def test_new_parameters_are_written_over_the_old_ones_without_a_copy():
    text = compiled_update(carried_as(ByBlocks)).as_text()
    assert text is not None
    matrices = re.findall(r"= f32\[\d+,\d+\]\S* copy\(%?(state_params\w*)", text)
    assert "state_params" in text
    assert not matrices


def test_the_norm_of_parameters_is_taken_where_a_window_ends(carried):
    state, losses = carried.advance(carried.init(), IMAGES, LABELS)
    assert np.isnan(losses.param_norm)
    state, losses = carried.advance(state, IMAGES, LABELS)
    squares = [float(np.vdot(leaf, leaf)) for leaf in map(np.array, jax.tree.leaves(carried.whole(state).params))]
    np.testing.assert_allclose(losses.param_norm, np.sqrt(sum(squares)), rtol=1e-6)


def test_squares_of_gradients_are_not_written_for_norm_and_optimizer_to_share(monkeypatch):
    def moved() -> float:
        cost = compiled_update(carried_as(Packed)).cost_analysis()
        assert cost is not None
        return cost["bytes accessed"]

    apart = moved()
    monkeypatch.setattr(Program, "_apart", lambda self, grads: grads)
    assert apart < moved()
