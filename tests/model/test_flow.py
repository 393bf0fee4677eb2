"""Paths, losses, drifts and loops of flow matching equal the reference's (willisma/SiT, run in float64)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from dit_grid.model import Diffusion, Flow, LogitNormal, Schedule, sample_flow
from dit_grid.model.ema import ema_update
from dit_grid.model.paths import coefficients, diffusion_of
from dit_grid.model.weights import to_tensors

PATHS: dict[Any, str] = {"linear": "Linear", "gvp": "GVP", "vp": "VP"}
PREDICTIONS: dict[Any, str] = {"velocity": "velocity", "score": "score", "epsilon": "noise"}
EACH = [(path, prediction) for path in PATHS for prediction in PREDICTIONS]
FORMS: Any = ("constant", "sbdm", "sigma", "linear", "decreasing", "increasing-decreasing")


def relative(found, expected):
    """The largest difference, as a share of each sample's largest value, at least 1."""
    found, expected = np.asarray(found, np.float64).reshape(len(expected), -1), expected.reshape(len(expected), -1)
    return float((np.abs(found - expected).max(axis=1) / np.maximum(np.abs(expected).max(axis=1), 1)).max())


def of_maximum(found, expected):
    """The largest difference as a share of each sample's largest value."""
    found, expected = np.asarray(found, np.float64).reshape(len(expected), -1), expected.reshape(len(expected), -1)
    return float((np.abs(found - expected).max(axis=1) / np.abs(expected).max(axis=1)).max())


@pytest.mark.parametrize("path", PATHS)
def test_paths_and_noised_images_are_the_references(golden, path):
    file, name = golden("sit_transport"), PATHS[path]
    kinds = ("vp",) if path == "vp" else ("full", "inner")

    @jax.jit
    def run(t):
        return coefficients(path, t), Flow(path).noised(file["in.x1_data"], t, file["in.x0_noise"])

    for kind in kinds:
        at, (x_t, u_t) = run(np.float32(file[f"t.{kind}"]))
        for part in ("alpha", "sigma", "d_alpha", "d_sigma"):
            # The expansion near t = 1 leaves no cancellation, at VP too, where the textbook form is off by 6e-3.
            assert relative(getattr(at, part)[:, None], file[f"{name}.{kind}.{part}"][:, None]) < 2e-6, part
        assert relative(x_t, file[f"{name}.{kind}.x_t"]) < 2e-6
        assert relative(u_t, file[f"{name}.{kind}.u_t"]) < 2e-6
        if kind != "full":
            ratio, variance = (file[f"{name}.{kind}.{part}"][:, None] for part in ("alpha_ratio", "drift_var"))
            assert of_maximum((1 / np.asarray(at.rest))[:, None], ratio) < 5e-5
            assert of_maximum(at.drift_variance[:, None], variance) < 5e-5


@pytest.mark.parametrize(("path", "prediction"), EACH)
def test_losses_and_gradients_are_the_references(golden, path, prediction):
    file = golden("sit_transport")
    kind = "vp" if path == "vp" else "full" if prediction == "velocity" else "inner"
    weights: Any = ("none",) if prediction == "velocity" else ("none", "velocity", "likelihood")

    @jax.jit
    def run(t, output):
        def mean_loss(output, flow):
            loss = flow.training_losses(lambda x, t: output, file["in.x1_data"], t, file["in.x0_noise"])["loss"]
            return loss.mean(), loss

        flows = [Flow(path, prediction, weight=weight) for weight in weights]
        return [jax.grad(mean_loss, has_aux=True)(output, flow) for flow in flows]

    found = run(np.float32(file[f"t.{kind}"]), file["in.model_out"])
    for weight, (gradient, losses) in zip(weights, found, strict=True):
        stem = f"{PATHS[path]}.{PREDICTIONS[prediction]}.{weight}"
        assert of_maximum(losses[:, None], file[f"{stem}.loss"][:, None]) < 5e-5
        assert of_maximum(gradient, file[f"{stem}.grad"]) < 5e-5


@pytest.mark.parametrize(("path", "prediction"), EACH)
def test_times_stay_within_the_references(golden, path, prediction):
    flow, stem = Flow(path, prediction), f"{PATHS[path]}.{PREDICTIONS[prediction]}"
    rows = golden("sit_transport")[f"interval.{stem}"]
    own = [
        flow.train_interval, flow.ode_interval(), flow.ode_interval(reverse=True),
        *(flow.sde_interval(form, size, ends_inside=False) for form in ("sbdm", "sigma") for size in (0.0, 0.04)),
    ]  # fmt: skip
    if prediction == "velocity" and path != "vp":
        # The reference begins where this diffusion is infinite, and samples NaN.
        rows, own = rows[[0, 1, 2, 5, 6]], [own[i] for i in (0, 1, 2, 5, 6)]
        assert flow.sde_interval("sbdm", 0.0, ends_inside=False)[0] == 1e-3
    np.testing.assert_allclose(own, rows, atol=1e-12)


@pytest.mark.parametrize("path", PATHS)
def test_diffusion_forms_and_conversions_are_the_references(golden, path):
    file, name = golden("sit_drift"), PATHS[path]
    t, x, output = (np.float32(file[f"in.{part}"]) for part in ("t", "x", "model_out"))

    @jax.jit
    def run(t, x, output):
        diffusions = [[diffusion_of(form, float(norm), path, t) for form in FORMS] for norm in file["config.norms"]]
        flow = Flow(path)
        return diffusions, flow.score(output, x, t), Flow(path, "score").velocity(output, x, t), flow.at(t).sigma

    diffusions, score, velocity, sigma = run(t, x, output)
    for number, found in enumerate(diffusions):
        for form, theirs, one in zip(FORMS, file["config.forms"], found, strict=True):
            expected = file[f"{name}.diffusion.{theirs}.norm{number}"]
            np.testing.assert_allclose(one, expected, atol=1e-6, rtol=1e-5 if form == "sbdm" else 0)
    assert of_maximum(score, file[f"{name}.score_from_velocity"]) < 1e-5
    assert of_maximum(velocity, file[f"{name}.velocity_from_score"]) < 1e-5
    assert of_maximum(-np.asarray(sigma) * np.asarray(score), file[f"{name}.noise_from_velocity"]) < 1e-5


@pytest.mark.parametrize(("path", "prediction"), EACH)
def test_drifts_are_the_references(golden, path, prediction):
    file, flow = golden("sit_drift"), Flow(path, prediction)
    stem = f"{PATHS[path]}.{PREDICTIONS[prediction]}"
    t, x, output = (np.float32(file[f"in.{part}"]) for part in ("t", "x", "model_out"))

    @jax.jit
    def run(t, x, output):
        velocity, score = flow.velocity(output, x, t), flow.score(output, x, t)
        drifts = [velocity + diffusion_of(form, 1.0, path, t)[:, None, None, None] * score for form in FORMS]
        return velocity, score, drifts

    velocity, score, drifts = run(t, x, output)
    assert of_maximum(velocity, file[f"{stem}.ode_drift"]) < 1e-5
    assert of_maximum(score, file[f"{stem}.score"]) < 1e-5
    for drift, theirs in zip(drifts, file["config.forms"], strict=True):
        assert of_maximum(drift, file[f"{stem}.sde_drift.{theirs}"]) < 1e-5
    if prediction == "velocity":
        _, at_start, _ = run(np.zeros_like(t), x, output)
        assert of_maximum(at_start, file[f"{PATHS[path]}.t0.score"]) < 1e-5


def test_the_network_is_told_times_as_they_are(golden, golden_network):
    file = golden("sit_loops")
    network = golden_network(file)
    out = jax.jit(lambda x, t, y: network(x, t, y))(*(file[f"in.{part}"] for part in "xty"))
    np.testing.assert_allclose(out, file["act.raw8"], atol=2e-5)
    np.testing.assert_allclose(out[..., :4], file["out.forward"], atol=2e-5)


def looped(file, model, guided, flow, **options):
    """The samples of a loop from the file's noise; guided, the first half of the reference's batch, which is ours."""
    labels, null = np.int32(file["in.labels"]), int(file["in.null"])
    noises = jax.device_put(file["in.wiener"][:, :2])
    options |= {"noise_fn": lambda k: noises[k], "guidance": 1.5 if guided else 1.0, "null_label": null}
    graph, weights = nnx.split(model)  # an argument compiles in less time than constants do
    run = jax.jit(lambda w, x: sample_flow(nnx.merge(graph, w), flow, x, labels, jax.random.key(0), **options))
    return np.asarray(run(weights, file["in.z"]))


def share_of_maximum(found, expected):
    return np.abs(found - expected[:2]).max() / np.abs(expected[:2]).max()


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("sampler", ["ode-euler", "ode-heun"])
def test_deterministic_loops_end_where_the_references_do(golden, golden_network, sampler, guided):
    file = golden("sit_loops")
    model, how = golden_network(file), "cfg" if guided else "plain"
    stem = f"ode.{'euler' if sampler == 'ode-euler' else 'heun2'}.{how}"
    for steps, expected in ((20, file[f"{stem}.traj"][-1]), (21, file[f"{stem}.n21.final"])):
        found = looped(file, model, guided, Flow(steps=steps), sampler=sampler)
        assert share_of_maximum(found, expected) < 5e-6  # one update more or less is 4e-3
    if sampler == "ode-heun":
        found = looped(file, model, guided, Flow(steps=200), sampler=sampler)
        np.testing.assert_allclose(found, file[f"ode.converged.{how}.final"][:2], atol=5e-3)


@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("last", ["None", "Mean", "Tweedie", "Euler"])
def test_stochastic_loops_end_where_the_references_do(golden, golden_network, last, guided):
    file, how = golden("sit_loops"), "cfg" if guided else "plain"
    expected = file.get(f"sde.{last}.{how}.final")
    expected = file[f"sde.{last}.{how}.traj"][-1] if expected is None else expected
    options = {"sampler": "sde-euler", "last_step": last.lower()}
    found = looped(file, golden_network(file), guided, Flow(steps=25), **options)
    assert share_of_maximum(found, expected) < 5e-6


EXTRA = [
    "sde_extra.VP.score.SBDM.norm1.0.Mean.Euler", "sde_extra.VP.velocity.sigma.norm1.0.Tweedie.Euler",
    "sde_extra.GVP.noise.sigma.norm1.0.Mean.Euler", "sde_extra.GVP.velocity.increasing-decreasing.norm1.0.Euler.Euler",
    "sde_extra.Linear.velocity.decreasing.norm0.7.Tweedie.Euler", "sde_extra.Linear.velocity.sigma.norm1.0.Mean.Heun",
    "ode_extra.GVP.noise.heun2", "ode_extra.VP.score.euler", "ode_extra.GVP.velocity.euler",
    "ode_extra.Linear.velocity.euler.reverse",
]  # fmt: skip


@pytest.mark.parametrize("name", EXTRA)
def test_loops_of_other_settings_end_where_the_references_do(golden, golden_network, name):
    file = golden("sit_loops")
    kind, path, prediction, *rest = name.replace("norm1.0", "1").replace("norm0.7", "7").split(".")
    prediction = {"noise": "epsilon"}.get(prediction, prediction)
    if kind == "ode_extra":
        options = {"sampler": "ode-heun" if rest[0] == "heun2" else "ode-euler", "reverse": rest[-1] == "reverse"}
        steps = 20
    else:
        form, norm, last, method = rest
        options = {"sampler": f"sde-{method.lower()}", "form": form.lower(), "norm": {"1": 1.0, "7": 0.7}[norm]}
        options |= {"last_step": last.lower()}
        steps = 25
    found = looped(file, golden_network(file), False, Flow(path.lower(), prediction, steps=steps), **options)
    # The values reach 2,919, where the reference's own float32 run is off by 3e-7 of it.
    assert share_of_maximum(found, file[f"{name}.final"]) < 5e-6


@pytest.mark.parametrize("run", ["", "run1.", "run2."])
def test_three_updates_are_the_references(golden, golden_network, run):
    file = golden("sit_train_3steps")
    model = golden_network(file)
    theirs: dict[str, Any] = {key: str(file[f"{run}config.{key}"]) for key in ("path", "prediction", "loss_weight")}
    flow = Flow(
        theirs["path"].lower(),
        {"noise": "epsilon"}.get(theirs["prediction"], theirs["prediction"]),
        weight=theirs["loss_weight"],
    )
    graph, params = nnx.split(model, nnx.Param)
    optimizer = optax.adamw(1e-4, weight_decay=0.0)

    @jax.jit
    def update(params, state, ema, x, t, y, noise):
        def mean_loss(params):
            network = nnx.merge(graph, params)
            loss = flow.training_losses(lambda x, t: network(x, t, y), x, t, noise)["loss"]
            return loss.mean(), loss

        (_, losses), gradient = jax.value_and_grad(mean_loss, has_aux=True)(params)
        changes, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, changes)
        return params, state, ema_update(ema, params, 0.9999), losses, gradient

    state, ema, losses, first = jax.jit(optimizer.init)(params), params, [], None
    for k in range(3):
        batch = (file[f"in.{part}"][k] for part in ("x1_data", "t", "y", "x0_noise"))
        params, state, ema, loss, gradient = update(params, state, ema, *batch)
        losses.append(loss)
        first = gradient if k == 0 else first
    # run1 weighs errors near t = 0 by up to 1e6, where the reference's float32 run is off by 8e-4 of 1e3.
    expected = file[f"{run}out.loss_per_sample"]
    np.testing.assert_allclose(losses, expected, atol=(5e-5 if run == "run1." else 1e-5) * expected.max())
    for kind, tree, tolerance in (("grad1", first, None), ("after", params, 2e-6), ("ema", ema, 2e-6)):
        named = {key.removeprefix(f"{run}{kind}."): v for key, v in file.items() if key.startswith(f"{run}{kind}.")}
        compare(model.config, named, tree, tolerance)


def compare(config, named, tree, tolerance):
    """The file's tensors beside ours under the same names; the position table is none of ours."""
    ours = to_tensors(config, tree)
    largest = max(float(np.abs(value).max()) for value in named.values())
    for name, value in named.items():
        if name == "pos_embed":
            continue
        found, value = np.array(ours[name]), np.array(value)
        if name.endswith("attn.qkv.bias"):  # the keys' part has no gradient but rounding's
            found, value = (np.delete(a, np.s_[len(a) // 3 : 2 * len(a) // 3]) for a in (found, value))
        np.testing.assert_allclose(found, value, rtol=0, atol=1e-5 * largest if tolerance is None else tolerance)


MEAN, SPREAD = np.array([0.5, -1.0], np.float32), 0.3


def exact_network(flow):
    """The exact prediction for data N(MEAN, SPREAD^2) on the flow's path, with as many channels that mean nothing."""

    def network(x, t, y):
        at = flow.at(t)
        score = -(x - at.alpha * MEAN) / (jnp.square(at.alpha) * SPREAD**2 + jnp.square(at.sigma))
        image = MEAN + at.alpha * SPREAD**2 * -score
        means = {
            "score": score, "epsilon": -at.sigma * score, "x0": image,
            "velocity": at.d_alpha * image - at.d_sigma * at.sigma * score,
        }  # fmt: skip
        return jnp.concatenate([means[flow.prediction], jnp.full_like(x, jnp.nan)], axis=-1)

    return network


@pytest.mark.parametrize("prediction", ["velocity", "score", "epsilon", "x0"])
@pytest.mark.parametrize("path", PATHS)
def test_every_prediction_samples_the_distribution_that_it_knows(path, prediction):
    flow = Flow(path, prediction, steps=200)
    x = np.random.default_rng(0).standard_normal((64, 8, 8, 2), np.float32)
    # One sampler asks for the velocity and one for the score too; the others ask for the same at other times.
    samplers = ("ode-heun", "sde-euler", "ode-euler", "sde-heun")[: 4 if prediction == "velocity" else 2]
    for sampler in samplers:
        options = {"sampler": sampler, "last_step": "none"}
        run = jax.jit(
            lambda x, o=options: sample_flow(exact_network(flow), flow, x, x[:, 0, 0, 0], jax.random.key(1), **o)
        )
        # 4096 values a channel: the mean's standard error is 0.005 and the spread's 1.1 %; last steps without
        # noise leave some of the spread out (on VP an eighth), so none is taken.
        images = np.asarray(run(x))
        np.testing.assert_allclose(images.mean(axis=(0, 1, 2)), MEAN, atol=0.03)
        np.testing.assert_allclose(images.std(axis=(0, 1, 2)), SPREAD, rtol=0.1)


@pytest.mark.parametrize("process", [*(Flow(path) for path in PATHS), Diffusion(Schedule.linear())])
def test_one_mistake_costs_the_same_whatever_was_predicted_if_it_is_counted_in_one_space(process):
    """The loss of an output in the space of another prediction is that of the other output that means the same."""
    draw = np.random.default_rng(3)
    image, noise, mistake = (jax.device_put(draw.standard_normal((5, 4, 4, 1), np.float32)) for _ in range(3))
    flows = isinstance(process, Flow)
    t = np.linspace(0.3, 0.9, 5, dtype=np.float32) if flows else np.array([20, 100, 300, 500, 700])  # above the floor
    if not flows:
        process = dataclasses.replace(process, variance="fixed-small")

    @jax.jit
    def run(t):
        if flows:
            alpha, sigma, turn = (getattr(process.at(t), part) for part in ("alpha", "sigma", "turn"))
            velocity = process.noised(image, t, noise)[1]
        else:
            s, turn = process.schedule, -1.0
            alpha, sigma = (jnp.asarray(a, jnp.float32)[t][:, None, None, None]
                            for a in (s.sqrt_alphas_cumprod, s.sqrt_one_minus_alphas_cumprod))  # fmt: skip
            velocity = alpha * noise - sigma * image
        outputs = {
            "epsilon": noise + mistake, "x0": image - sigma / alpha * mistake,
            "velocity": velocity - turn / alpha * mistake,
        }  # fmt: skip

        def losses(output, **fields):
            counted = dataclasses.replace(process, **fields)
            return counted.training_losses(lambda x, t: output, image, t, noise)["loss"]

        own = {space: losses(outputs[space], prediction=space) for space in outputs}
        each = [(space, prediction) for space in outputs for prediction in outputs]
        return own, {pair: losses(outputs[pair[1]], prediction=pair[1], space=pair[0]) for pair in each}

    own, counted = run(t)
    for (space, _), found in counted.items():
        np.testing.assert_allclose(found, own[space], rtol=1e-4)


def test_logit_normal_times_have_their_mean_and_spread_on_both_kinds_of_process():
    law, key = LogitNormal(-0.8, 0.5), jax.random.key(0)
    t = Flow(times=law).draw_times(key, 20_000)
    steps = Diffusion(Schedule.linear(), times=law).draw_times(key, 20_000)
    # Both favour noise: low times of a flow, high steps of a diffusion. Standard errors are 0.0035 and 0.0025.
    for share in (np.asarray(t), 1 - (np.asarray(steps) + 0.5) / 1000):
        logits = np.log(share / (1 - share))
        np.testing.assert_allclose([logits.mean(), logits.std()], law, atol=0.02)
    assert steps.dtype == jnp.int32


def test_held_out_times_and_bins_run_from_the_image_to_noise():
    for process in (Flow(), Diffusion(Schedule.linear())):
        t = process.even_times(jnp.arange(100), 100)
        bins = np.asarray(process.bins(t, 4))
        assert (np.diff(bins) >= 0).all()
        assert np.bincount(bins).tolist() == [25, 25, 25, 25]
