"""Every diffusion quantity and its gradient equals the reference's, or is nearer to the formula than the reference."""

import dataclasses
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dit_grid.model import Diffusion, Schedule
from dit_grid.model.diffusion import discretised_log_likelihood


@pytest.fixture(params=["full", "resp"])
def case(request, golden):
    """A golden batch, by the names of its arrays, and the diffusion that it belongs to."""
    prefix = f"{request.param}."
    file = {k.removeprefix(prefix): v for k, v in golden("diffusion_ops").items() if k.startswith(prefix)}
    schedule = Schedule.linear()
    return file, Diffusion(schedule if request.param == "full" else schedule.respace(str(file["respacing"])))


def losses(file, diffusion, channels=8):
    given = (file[key] for key in ("model_out", "x0", "t", "noise"))

    def run(output, *batch):
        return diffusion.training_losses(lambda x, t: output[..., :channels], *batch)

    return jax.jit(run)(*given)


def test_noising_and_the_posterior(case):
    file, diffusion = case
    t = file["t"]
    np.testing.assert_array_equal(diffusion.timesteps(t), file["model_sees_t"])
    # 1e-5: float32 rounding of values up to 4 is 2e-7; the README of the golden data allows this.
    run = jax.jit(lambda x0, x_t, noise: (diffusion.q_sample(x0, t, noise), diffusion.q_posterior(x0, x_t, t)))
    x_t, (mean, log_variance) = run(file["x0"], file["x_t"], file["noise"])
    np.testing.assert_allclose(x_t, file["x_t"], atol=1e-5)
    np.testing.assert_allclose(mean, file["q_posterior.mean"], atol=1e-5)
    expected = file["q_posterior.log_variance"]
    np.testing.assert_allclose(np.broadcast_to(log_variance, mean.shape), expected, atol=1e-5)


def test_training_losses_are_those_of_the_reference(case):
    file, diffusion = case
    terms, first = losses(file, diffusion), file["t"] == 0
    np.testing.assert_allclose(terms["mse"], file["loss.mse"], rtol=1e-6)
    # 1e-5 is rounding. At t = 0 the reference subtracts two distribution functions in float32, good to 2e-3.
    bound = np.asarray(terms["vb"])
    np.testing.assert_allclose(bound[~first], file["loss.vb"][~first], rtol=1e-5)
    np.testing.assert_allclose(bound[first], file["loss.vb"][first], rtol=2e-3)
    np.testing.assert_allclose(terms["loss"], file["loss.loss"], rtol=2e-3)


@pytest.mark.parametrize(
    ("key", "options", "channels"),
    [
        ("loss_rescaled_mse", {"loss": "rescaled-mse"}, 8),
        ("loss_rescaled_kl", {"loss": "rescaled-kl"}, 8),
        ("loss_fixed_sigma", {"variance": "fixed-large"}, 4),
        ("loss_predict_xstart.mse", {"prediction": "x0"}, 8),
    ],
)
def test_losses_of_other_configurations(case, key, options, channels):
    file, diffusion = case
    name = key.partition(".")[2] or "loss"
    actual = losses(file, dataclasses.replace(diffusion, **options), channels)[name]
    np.testing.assert_allclose(actual, file[key], rtol=2e-3)  # the reference's own rounding at t = 0, as above


def test_gradient_teaches_the_mean_by_the_error_and_the_variance_by_the_bound(case):
    file, diffusion = case
    gradient = jax.jit(jax.grad(lambda output: losses({**file, "model_out": output}, diffusion)["loss"].mean()))
    actual, expected, later = np.asarray(gradient(file["model_out"])), file["loss.grad_model_out"], file["t"] > 0
    # 1e-6 of values up to 0.04 is rounding; t = 0 is compared with the exact formula in the next test.
    np.testing.assert_allclose(actual[..., :4], expected[..., :4], atol=1e-6)
    np.testing.assert_allclose(actual[later], expected[later], atol=1e-6)


def test_likelihood_at_the_first_step_is_the_formula_in_float64_where_float32_differences_fail(case):
    file, diffusion = case
    first = file["t"] == 0
    x0, x_t, output, t = (file[key][first] for key in ("x0", "x_t", "model_out", "t"))

    @jax.jit
    def run(output, x_t):
        step = diffusion.p_mean_variance(output, x_t, t)
        likelihood = partial(discretised_log_likelihood, x0, step.mean)
        log_std = step.log_variance / 2
        return step, likelihood(log_std), jax.grad(lambda s: likelihood(s).sum())(log_std)

    step, value, slope = jax.tree.map(np.asarray, run(output, x_t))

    def exact(log_std):
        """The reference's formula as written, in float64."""

        def cdf(z):
            return 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))

        z = [(x0 - np.float64(step.mean) + sign / 255) / np.exp(log_std) for sign in (1, -1)]
        upper, lower = np.where(x0 > 0.999, 1, cdf(z[0])), np.where(x0 < -0.999, 0, cdf(z[1]))
        return np.log(np.maximum(upper - lower, 1e-12))

    log_std = np.float64(step.log_variance) / 2
    # 2e-4 of values up to 27.6: a mean rounded to float32, divided by a spread of 0.01, is good to about 1e-5, and the
    # logarithm of a tail is quadratic in it.
    np.testing.assert_allclose(value, exact(log_std), rtol=2e-4, atol=1e-4)
    numeric = (exact(log_std + 1e-5) - exact(log_std - 1e-5)) / 2e-5
    inside = exact(log_std) > math.log(1e-11)  # at the floor the two sides of the difference differ
    np.testing.assert_allclose(slope[inside], numeric[inside], rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("clip", [0, 1])
def test_a_reverse_step_is_that_of_the_reference(case, clip):
    file, diffusion = case
    t, x_t, noise = file["t"], file["x_t"], file["step_noise"]

    @jax.jit
    def run(output, x_t, noise):
        given, clipped = (output, x_t, t, noise), {"clip": bool(clip)}
        ends = [diffusion.ddim_step(*given, eta=eta, **clipped) for eta in (0, 1)]
        step = diffusion.p_mean_variance(output, x_t, t, **clipped)
        return step, diffusion.ddpm_step(*given, **clipped), ends, diffusion.ddim_reverse_step(output, x_t, t)

    step, drawn, ends, back = run(file["model_out"], x_t, noise)
    expected = {name: file[f"pmv.clip{clip}.{name}"] for name in ("mean", "log_variance", "variance", "pred_xstart")}
    np.testing.assert_allclose(step.mean, expected["mean"], atol=1e-5)
    np.testing.assert_allclose(step.log_variance, expected["log_variance"], atol=1e-5)
    np.testing.assert_allclose(np.exp(step.log_variance), expected["variance"], atol=1e-5)
    # Clean images reach 700 from pure noise; 1e-6 of that is rounding.
    np.testing.assert_allclose(step.x0, expected["pred_xstart"], rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(drawn, file[f"p_sample.clip{clip}"], atol=1e-5)
    for eta, actual in enumerate(ends):
        # 5e-5, but for the reference's own rounding at t = 1 and 2 when it clips: there it is 2.2e-4 from its formula
        # evaluated in float64, from which we are 2e-7.
        atol = 3e-4 if clip else 5e-5
        np.testing.assert_allclose(actual, file[f"ddim.eta{eta}.clip{clip}"], atol=atol)
    if not clip:
        np.testing.assert_allclose(back, file["ddim_reverse"], atol=5e-5)


@pytest.mark.parametrize("eta", [0, 1])
def test_clipped_ddim_is_its_formula_in_float64(case, eta):
    file, diffusion = case
    t, s = file["t"], diffusion.schedule
    now, before = (a[t][:, None, None, None] for a in (s.alphas_cumprod, s.alphas_cumprod_prev))
    x0, x_t, noise = (np.float64(file[key]) for key in ("pmv.clip1.pred_xstart", "x_t", "step_noise"))
    epsilon = (x_t / np.sqrt(now) - x0) / np.sqrt(1 / now - 1)
    sigma = eta * np.sqrt((1 - before) / (1 - now)) * np.sqrt(1 - now / before)
    expected = x0 * np.sqrt(before) + np.sqrt(1 - before - sigma**2) * epsilon
    expected += (t != 0)[:, None, None, None] * sigma * noise
    step = jax.jit(lambda output, x_t, noise: diffusion.ddim_step(output, x_t, t, noise, eta=eta, clip=True))
    actual = step(file["model_out"], file["x_t"], file["step_noise"])
    np.testing.assert_allclose(actual, expected, atol=2e-6)  # float32 rounding of values up to 4


def test_first_loss_of_a_network_that_returns_zero_is_the_references():
    x0, noise = np.random.default_rng(0).standard_normal((2, 1000, 16, 16, 4), np.float32)
    file = {"x0": x0, "noise": noise, "t": np.arange(1000), "model_out": np.zeros((1000, 16, 16, 8), np.float32)}
    terms = losses(file, Diffusion(Schedule.linear()))
    # A million squares of unit normals have mean 1 with a standard error of 0.0014; 0.006 is four of those.
    assert float(terms["mse"].mean()) == pytest.approx(1.0, abs=0.006)
    # The bound then depends on t alone, here each of its values once; the reference has 0.017 with t drawn at random.
    assert float(terms["vb"].mean()) == pytest.approx(0.017, abs=0.001)


def test_a_network_with_the_wrong_channels_is_refused():
    x = jnp.zeros((1, 8, 8, 4))
    options: dict[str, Any] = {"variance": "learned"}
    with pytest.raises(ValueError, match=r"learned-range it must return 8 channels"):
        Diffusion(Schedule.linear()).training_losses(lambda x, t: x, x, jnp.zeros(1, int), x)
    with pytest.raises(ValueError, match=r"variance 'learned' is not one of learned-range, fixed-small, fixed-large"):
        Diffusion(Schedule.linear(), **options)


@pytest.mark.parametrize("t", [[0, 1000], [-1, 5], [0.5, 1.0]])
def test_a_step_that_the_schedule_does_not_have_is_refused(t):
    x = jnp.zeros((2, 4, 4, 1))
    with pytest.raises(ValueError, match="whole numbers from 0 to 999"):
        Diffusion(Schedule.linear()).q_sample(x, jnp.array(t), x)
