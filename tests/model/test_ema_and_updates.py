"""Three AdamW updates and their moving average equal the reference's training loop."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from dit_grid.model import Diffusion, Schedule
from dit_grid.model.ema import ema_decay, ema_update
from dit_grid.model.weights import to_tensors

LEARNING_RATE = 1e-4


def test_three_updates_are_the_references(golden, golden_network):
    file = golden("train_3steps")
    model = golden_network(file)
    graph, params = nnx.split(model)
    diffusion, optimizer = Diffusion(Schedule.linear()), optax.adamw(LEARNING_RATE, weight_decay=0.0)
    state, ema = jax.jit(optimizer.init)(params), params

    @jax.jit
    def update(params, state, ema, x0, t, y, noise):
        def mean_loss(params):
            network = nnx.merge(graph, params)
            terms = diffusion.training_losses(lambda x, t: network(x, t, y), x0, t, noise)
            return terms["loss"].mean(), terms

        gradient, terms = jax.grad(mean_loss, has_aux=True)(params)
        change, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, change)
        return params, state, ema_update(ema, params, 0.9999), gradient, terms

    for k in range(3):
        batch = [file[f"in.{key}"][k] for key in ("x0", "t", "y", "noise")]
        params, state, ema, gradient, terms = update(params, state, ema, *batch)
        assert np.mean(terms["loss"]) == pytest.approx(float(file["out.loss"][k]), rel=1e-6)
        np.testing.assert_allclose(terms["mse"], file["out.mse"][k], rtol=1e-5)
        np.testing.assert_allclose(terms["vb"], file["out.vb"][k], rtol=2e-3)  # t = 0 is among the timesteps
        if k == 0:
            first = to_tensors(model.config, gradient)
    compare(file, first, to_tensors(model.config, params), to_tensors(model.config, ema))


def compare(file, gradient, after, ema):
    trained = [key.removeprefix("after.") for key in file if key.startswith("after.") and "pos_embed" not in key]
    assert len(trained) == 21
    for name in trained:
        # 1e-6 of gradients up to 0.14.
        np.testing.assert_allclose(gradient[name], file[f"grad1.{name}"], atol=1e-6, err_msg=name)
        # 1e-5 is a thirtieth of what three updates can move a weight. Adam divides a gradient by its own size, so one
        # that is all rounding (below 1e-7, of 0.14) may move a weight anywhere within those three updates.
        noise = np.abs(file[f"grad1.{name}"]) < 1e-7
        atol = np.where(noise, 3 * LEARNING_RATE, 1e-5)
        assert (np.abs(after[name] - file[f"after.{name}"]) <= atol).all(), name
        np.testing.assert_allclose(ema[name], file[f"ema.{name}"], atol=1e-7, err_msg=name)


def test_the_average_forgets_at_its_decay():
    ema = {"w": jnp.ones(3)}
    assert float(ema_update(ema, {"w": jnp.full(3, 2.0)}, 0.9)["w"][0]) == pytest.approx(1.1)
    for _ in range(10):
        ema = ema_update(ema, {"w": jnp.zeros(3)}, 0.9)
    np.testing.assert_allclose(ema["w"], 0.9**10, rtol=1e-6)


def test_the_decay_warms_up_to_its_value_only_if_asked():
    steps = jnp.array([1, 10, 10_000, 1_000_000])
    np.testing.assert_allclose(ema_decay(steps, 0.9999), 0.9999)
    np.testing.assert_allclose(
        ema_decay(steps, 0.9999, warmup=True), [2 / 11, 0.55, 10_001 / 10_010, 0.9999], rtol=1e-6
    )
