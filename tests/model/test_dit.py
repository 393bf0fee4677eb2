"""The whole network equals the reference's, whichever way it is run, and refuses inputs that do not fit."""

import dataclasses
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dit_grid.model import DiT, DiTConfig, drop_labels
from dit_grid.model.dit import Context
from dit_grid.model.embeddings import patchify, position_table
from dit_grid.model.samplers import Guidance, guided

NETWORKS = ["dit_p2_8x8", "dit_p4_16x16", "dit_p8_16x16"]


@pytest.mark.parametrize("name", NETWORKS)
def test_forward_pass_is_the_references_at_every_stage(golden, golden_network, name):
    file = golden(name)
    model = golden_network(file)
    x, t, y = (file[f"in.{key}"] for key in "xty")
    # 3e-5: float32 rounding, most of it in the timestep table near t = 1000. The smallest mistake that a port is known
    # to make, another epsilon, costs 5e-5, and the next, exact GELU, 2e-4.
    stages = jax.jit(lambda *inputs: stages_of(model, *inputs))(x, t, y)
    for stage, actual in stages.items():
        np.testing.assert_allclose(actual, file[stage], atol=3e-5, err_msg=stage)


def stages_of(model: DiT, x: jax.Array, t: jax.Array, y: jax.Array) -> dict[str, jax.Array]:
    """The forward pass taken apart, by the names of the golden file."""
    patches = model.patches(patchify(x, model.config.patch))
    embedded = patches + position_table(model.config.width, model.config.image_size // model.config.patch)
    tokens, condition = model._condition(embedded, t, y)
    return {
        "act.patch_embed": patches,
        "act.tokens_in": embedded,
        "act.t_emb": model.timesteps(t),
        "act.y_emb": model.labels(y),
        "act.block1": model._run_blocks(tokens, condition),
        "out.forward": model(x, t, y),
    }


@pytest.mark.parametrize("name", NETWORKS)
def test_guided_forward_pass_is_the_references(golden, golden_network, name):
    file = golden(name)
    model = golden_network(file)
    # The reference runs the first half of its batch twice; the second half's output is discarded by its samplers.
    inputs = [file[f"cfg.{key}"][:2] for key in "xty"]
    run = jax.jit(lambda *inputs: [guided(model, Guidance(scale), null=10)(*inputs) for scale in (1.5, 4.0)])
    for scale, output in zip((1.5, 4.0), run(*inputs), strict=True):
        np.testing.assert_allclose(output, file[f"out.cfg_{scale}"][:2], atol=3e-5)  # as for the forward pass


X = np.random.default_rng(0).standard_normal((2, 8, 8, 4), np.float32)
T, Y = np.array([3.0, 700.5], np.float32), np.array([1, 5], np.int32)
CONFIG = DiTConfig(8, 2, 32, 2, 2, classes=5)


@pytest.fixture
def network(random_network):
    """A small network split for use under transformations."""
    return lambda config=CONFIG, **options: nnx.split(random_network(config, **options))


def loss_and_gradient(graph: nnx.GraphDef, state: nnx.State) -> tuple[jax.Array, nnx.State]:
    return jax.jit(jax.value_and_grad(lambda s: jnp.square(nnx.merge(graph, s)(X, T, Y)).mean()))(state)


def test_scanning_and_rematerialisation_change_no_number(network):
    expected = loss_and_gradient(*network())
    for remat in ("block", "dots"):
        actual = loss_and_gradient(*network(unroll=1, remat=remat))
        # 1e-5 of values near 1: the same operations, fused and so rounded differently.
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), actual, expected)


def test_bfloat16_computes_in_bfloat16_and_keeps_float32_parameters_and_output(network):
    graph, state = network(dtype=jnp.bfloat16)
    program = jax.jit(lambda s: nnx.merge(graph, s)(X, T, Y)).lower(state)
    output = np.asarray(program.compile()(state))
    assert output.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {np.dtype("float32")}
    products = re.findall(r"stablehlo.dot_general.*: \((.*)\) ->", program.as_text())
    assert products
    assert not [operands for operands in products if "f32>" in operands]
    exact_graph, _ = network()
    exact = np.asarray(jax.jit(lambda s: nnx.merge(exact_graph, s)(X, T, Y))(state))
    # bfloat16 keeps 8 bits, 0.4 % a product; a dozen of them in a row, of random signs, stay under 3 %.
    assert np.abs(output - exact).max() / np.abs(exact).max() < 0.03


def test_nothing_is_promoted_by_accident(network):
    graph, state = network()
    with jax.numpy_dtype_promotion("strict"):
        jax.make_jaxpr(jax.grad(lambda s: nnx.merge(graph, s)(X, T, Y).mean()))(state)


def test_the_program_does_not_grow_with_depth(network):
    def size(depth: int) -> int:
        graph, state = network(dataclasses.replace(CONFIG, depth=depth))
        jaxpr = jax.make_jaxpr(jax.grad(lambda s: nnx.merge(graph, s)(X, T, Y).mean()))(state)
        return len(str(jaxpr).splitlines())

    assert size(28) == size(12)


def test_only_what_trains_is_a_parameter(random_network):
    model = random_network(CONFIG)
    assert len(jax.tree.leaves(nnx.state(model))) == len(jax.tree.leaves(nnx.state(model, nnx.Param)))


def test_initial_weights_depend_on_the_seed_alone():
    weights = jax.jit(lambda key: nnx.state(DiT(CONFIG, nnx.Rngs(key))))
    state, other = (weights(jax.random.key(seed)) for seed in (7, 8))
    jax.tree.map(np.testing.assert_array_equal, state, weights(jax.random.key(7)))
    kernels, others = (np.asarray(found["blocks"]["attn"]["qkv"]["kernel"][...]) for found in (state, other))
    assert (others != kernels).all()
    assert (kernels[0] != kernels[1]).all()  # blocks do not share a draw
    # Xavier uniform on one block's (32, 96): within sqrt(6 / 128), and filling that range.
    assert 0.99 < float(np.abs(kernels).max()) / (6 / 128) ** 0.5 <= 1


def test_labels_are_dropped_at_the_rate_asked_for_and_otherwise_kept(golden):
    labels = np.arange(100_000, dtype=np.int32) % 10
    some, none = jax.jit(lambda y: [drop_labels(jax.random.key(0), y, classes=10, rate=rate) for rate in (0.1, 0.0)])(
        labels
    )
    dropped = np.asarray(some)
    changed = dropped != labels
    assert (dropped[changed] == 10).all()
    # The standard error of the share is 0.001.
    assert float(changed.mean()) == pytest.approx(0.1, abs=0.004)
    np.testing.assert_array_equal(none, labels)
    file = golden("primitives")
    null = jax.jit(lambda y: drop_labels(jax.random.key(0), y, classes=5, rate=1.0))(file["label_drop.y"])
    np.testing.assert_array_equal(np.asarray(null)[file["label_drop.force_drop_ids"] == 1], 5)


@pytest.mark.parametrize(
    ("x", "t", "y", "words"),
    [
        (np.moveaxis(X, -1, 1), T, Y, ["(2, 4, 8, 8)", "channels last"]),
        (X[:, :4], T, Y, ["(2, 4, 8, 4)", "(batch, 8, 8, 4)"]),
        (X.astype(int), T, Y, ["dtype int", "floating-point"]),
        (X, T[:1], Y, ["timesteps", "(1,)"]),
        (X, T, Y.astype(float), ["labels", "dtype float"]),
        (X, T, np.array([0, 6]), ["0 to 6", "null class 5"]),
        (X, T, np.array([-1, 0]), ["-1 to 0", "0 to 4"]),
        (X, T, Context(jnp.zeros((2, 3, 4)), jnp.ones((2, 3), bool)), ["class labels", "context_width"]),
    ],
)
def test_inputs_that_do_not_fit_are_refused_with_what_would(network, x, t, y, words):
    model = nnx.merge(*network())
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the words are checked below)
        model(x, t, y)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(
    ("context", "words"),
    [
        (jnp.zeros(2, int), ["takes a Context of width 7"]),
        (Context(jnp.zeros((2, 3, 8)), jnp.ones((2, 3), bool)), ["(2, 3, 8)", "(2, length, 7)"]),
        (Context(jnp.zeros((2, 3, 7)), jnp.ones((2, 3))), ["float32", "bool (2, 3)"]),
    ],
)
def test_a_context_that_does_not_fit_is_refused(random_network, context, words):
    model = random_network(DiTConfig(8, 2, 32, 1, 2, block="in-context", context_width=7))
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the words are checked below)
        model(X, T, context)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"remat": "everything"}, "none, dots, block"),
        ({"attention": "flash"}, "auto, xla, cudnn, cpu"),
        ({"dtype": "int32"}, "int32 is not floating point"),
    ],
)
def test_an_option_that_there_is_not_is_refused(options: dict[str, Any], words):
    with pytest.raises(ValueError, match=words):
        DiT(DiTConfig(8, 2, 32, 1, 2), nnx.Rngs(0), **options)
