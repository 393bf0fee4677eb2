"""Whole sampling loops equal the reference's, spend what they say, and do not depend on how samples are grouped."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dit_grid.model import Diffusion, DiTConfig, Schedule, sample, sample_chunks

DIFFUSION = Diffusion(Schedule.linear())


@pytest.mark.parametrize(
    ("spacing", "options", "expected"),
    [
        ("250", {}, "final"),
        ("ddim50", {"sampler": "ddim"}, "ddim.final.eta0"),
        ("ddim50", {"sampler": "ddim", "eta": 1.0}, "ddim.final.eta1"),
    ],
)
def test_guided_loop_with_given_noise_ends_where_the_references_does(
    golden, golden_network, spacing, options, expected
):
    file, model = golden("sample_loop_250"), golden_network(golden("dit_p2_8x8"))
    noises = jax.device_put(file["noise"][:, :1])
    # The reference carries the image twice through its loop; only the first copy is a sample.
    options = {"guidance": 1.5, "null_label": 10, "noise_fn": lambda k: noises[k], **options}
    diffusion, key = DIFFUSION.respace(spacing), jax.random.key(0)
    loop = jax.jit(lambda x, y: sample(model, diffusion, x, y, key, **options))
    final = loop(file["x_T"][:1], file["y"][:1])
    # 1e-4 of the maximum, which is 840 for this random network; we were seen at 1.4e-6 of it.
    tolerance = 1e-4 * np.abs(file[expected]).max()
    np.testing.assert_allclose(final, file[expected][:1], atol=tolerance)


MEAN, SPREAD = np.array([0.5, -1.0], np.float32), 0.3


def gaussian_network(x, t, y):
    """The exact noise prediction for data N(MEAN, SPREAD^2), and the variance's lower bound."""
    signal = jnp.asarray(DIFFUSION.schedule.alphas_cumprod, jnp.float32)[t][:, None, None, None]
    epsilon = jnp.sqrt(1 - signal) * (x - jnp.sqrt(signal) * MEAN) / (signal * SPREAD**2 + 1 - signal)
    return jnp.concatenate([epsilon, -jnp.ones_like(x)], axis=-1)


X_T: Any = np.random.default_rng(0).standard_normal((64, 8, 8, 2), np.float32)
LABELS = np.zeros(64, int)


@pytest.mark.parametrize(("sampler", "options"), [("ddpm", {}), ("ddim", {}), ("ddim", {"eta": 1.0}), ("dpmpp-2m", {})])
def test_samplers_recover_a_known_distribution(sampler, options):
    options, diffusion, key = {"sampler": sampler, **options}, DIFFUSION.respace(500), jax.random.key(1)
    run = jax.jit(lambda x, y: sample(gaussian_network, diffusion, x, y, key, **options))
    images = np.asarray(run(X_T, LABELS))
    # 4096 values a channel: the mean's standard error is 0.005, the spread's 1.1 %; 500 steps add under 3 %,
    # most of it in the variance that the stochastic samplers are told, which is a lower bound.
    np.testing.assert_allclose(images.mean(axis=(0, 1, 2)), MEAN, atol=0.03)
    np.testing.assert_allclose(images.std(axis=(0, 1, 2)), SPREAD, rtol=0.08)


def test_dpm_solver_needs_an_eighth_of_ddims_steps():
    def error(sampler, steps):
        spaced = DIFFUSION.respace(steps)
        run = jax.jit(lambda x, y: sample(gaussian_network, spaced, x, y, jax.random.key(0), sampler=sampler))
        signal = DIFFUSION.schedule.alphas_cumprod[-1]
        quantile = (X_T - np.sqrt(signal) * MEAN) / np.sqrt(signal * SPREAD**2 + 1 - signal)
        exact = MEAN + SPREAD * quantile  # the flow keeps each value's quantile
        return float(np.abs(run(X_T, LABELS) - exact).mean())

    assert error("ddim", 20) / error("ddim", 80) == pytest.approx(4, rel=0.2)  # of first order
    assert error("dpmpp-2m", 20) / error("dpmpp-2m", 40) > 4  # of second, or better
    assert error("dpmpp-2m", 40) < error("ddim", 320)


def counting_network(calls):
    """A network that notes the batch it is traced with."""

    def network(x, t, y):
        calls.append(x.shape[0])
        return jnp.concatenate([x * y[:, None, None, None], -jnp.ones_like(x)], axis=-1)

    return network


def test_guidance_runs_both_halves_in_one_batch_and_none_costs_nothing():
    x, y, key = X_T[:3], np.ones(3, int), jax.random.key(0)
    for guidance, batch in ((1.0, 3), (2.0, 6)):
        calls: list[int] = []
        network, options = counting_network(calls), {"guidance": guidance, "null_label": 2}
        jax.eval_shape(lambda x, y, n=network, o=options: sample(n, DIFFUSION.respace(5), x, y, key, **o), x, y)
        assert set(calls) == {batch}


def sampled(x, steps, each):
    """The samples under each of these options, by one program."""

    @jax.jit
    def run(x: jax.Array) -> list[jax.Array]:
        given = DIFFUSION.respace(steps), x, jnp.ones(len(x), int), jax.random.key(0)
        return [sample(counting_network([]), *given, **options) for options in each]

    return list(map(np.asarray, run(x)))


def test_outside_its_interval_guidance_is_off():
    always = {"guidance": 2.0, "null_label": 0}
    within = [always | {"guidance_interval": interval} for interval in ((0, 999), (2000, 3000), (0, 300))]
    unguided, guided, throughout, never, partly = sampled(X_T[:3], 5, [{}, always, *within])
    # 1e-4: programs that differ round differently.
    np.testing.assert_allclose(throughout, guided, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(never, unguided, rtol=1e-4, atol=1e-4)
    assert np.abs(partly - guided).max() > 0.1
    assert np.abs(partly - unguided).max() > 0.1


def test_guidance_acts_on_the_channels_asked_for():
    x = np.random.default_rng(1).standard_normal((2, 2, 2, 4), np.float32)
    of_all = {"guidance": 3.0, "guidance_channels": None, "null_label": 0}
    plain, three, every = (found[..., 3] for found in sampled(x, 2, [{}, of_all | {"guidance_channels": 3}, of_all]))
    # 1e-4: two programs round differently, and the first of the two steps passes through values near 100.
    np.testing.assert_allclose(three, plain, atol=1e-4)
    assert np.abs(every - plain).max() > 0.1


def test_a_sample_depends_on_its_index_and_label_and_not_on_the_chunk(random_network):
    model = random_network(DiTConfig(4, 2, 16, 1, 2, channels=1, classes=3))
    labels, key = np.array([0, 1, 2, 3, 0]), jax.random.key(5)
    diffusion = DIFFUSION.respace(4)
    whole, parts = (np.concatenate(list(sample_chunks(model, diffusion, labels, key, chunk=n))) for n in (5, 2))
    assert whole.shape == (5, 4, 4, 1)
    # The noise is the same to the bit; 1e-5 of the maximum is for matrix products of other batch sizes.
    np.testing.assert_allclose(parts, whole, atol=1e-5 * np.abs(whole).max())
    assert np.abs(whole[0] - whole[4]).max() > 1e-3  # the same label, another index


@pytest.mark.parametrize(
    ("options", "words"),
    [({"sampler": "euler"}, "'euler' is not one of ddpm, ddim, dpmpp-2m"), ({"guidance": 2.0}, "needs null_label")],
)
def test_a_request_that_makes_no_sense_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        sample(gaussian_network, DIFFUSION, X_T, LABELS, jax.random.key(0), **options)
