"""The maximal update parametrization: which parameters scale how, and that only initial weights and rates change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dit_grid.model import DiT, DiTConfig, width_transfer
from dit_grid.model.abstract import abstract_dit
from dit_grid.model.config import BLOCKS
from dit_grid.model.width_transfer import kind_of


def params_of(config, change=lambda params: params):
    """New parameters, changed in the same program."""
    return jax.jit(lambda: change(nnx.state(DiT(config, nnx.Rngs(0)), nnx.Param)))()


def named(params):
    return {tuple(str(key.key) for key in path if hasattr(key, "key")): leaf
            for path, leaf in jax.tree.leaves_with_path(params)}  # fmt: skip


@pytest.mark.parametrize("block", BLOCKS)
def test_every_parameter_is_what_its_shape_says(block):
    """A matrix is hidden where both sides grow with width, output where the first does; all else is input."""
    small, wide = (named(abstract_dit(DiTConfig(8, 4, width, 1, width // 8, channels=1, classes=3, block=block))[1])
                   for width in (16, 32))  # fmt: skip
    for path, leaf in small.items():
        grows = [b > a for a, b in zip(leaf.shape, wide[path].shape, strict=True)]
        grows = grows[1:] if path[0] == "blocks" else grows  # the axis of depth
        expected = "input"
        if path[-1] == "kernel" and grows[0]:
            expected = "hidden" if grows[1] else "output"
        assert kind_of(path) == expected, path


def test_initial_spreads_follow_the_rules():
    base, width = 64, 512
    config = DiTConfig(8, 4, width, 1, width // 8, channels=1, classes=10, block="adaln")
    at_base = DiTConfig(8, 4, base, 1, base // 8, channels=1, classes=10, block="adaln")
    standard = named(params_of(at_base))
    mup = named(params_of(config, lambda params: width_transfer.initial(params, config, base)))
    for path, leaf in mup.items():
        if path[-1] != "kernel" or path[0] in ("out", "modulation"):  # these are zero
            continue
        ratio = np.std(np.asarray(leaf)) / np.std(np.asarray(standard[path]))
        expected = 1.0 if kind_of(path) == "input" else np.sqrt(base / width)
        assert ratio == pytest.approx(expected, rel=0.06), path  # 1,024 numbers and more: 2 % each
    assert not np.asarray(mup["out", "kernel"]).any()


def test_at_the_base_width_nothing_changes_in_a_bit():
    config = DiTConfig(8, 4, 32, 2, 4, channels=1, classes=10)

    def both(params):
        return params, width_transfer.initial(params, config, 32), width_transfer.rated(params, 32, 32)

    params, *same = params_of(config, both)
    for one in same:
        jax.tree.map(np.testing.assert_array_equal, params, one)


def test_a_smaller_output_rate_is_a_multiplier():
    """Under Adam, from zero: a matrix whose rate is m times learns what one whose product is multiplied by m does."""
    import optax

    m, draw = 0.25, np.random.default_rng(0)
    x, y = (draw.standard_normal(shape, np.float32) for shape in ((32, 16), (32, 4)))

    def trained(rate, multiplier):
        kernel, optimizer = jnp.zeros((16, 4)), optax.adam(rate, eps=0.0)
        state = optimizer.init(kernel)

        @jax.jit
        def update(kernel, state):
            gradient = jax.grad(lambda k: jnp.square(multiplier * (x @ k) - y).mean())(kernel)
            updates, state = optimizer.update(gradient, state)
            return kernel + updates, state

        for _ in range(20):
            kernel, state = update(kernel, state)
        return multiplier * (x @ np.asarray(kernel))

    np.testing.assert_allclose(trained(1e-2 * m, 1.0), trained(1e-2, m), rtol=2e-4, atol=1e-6)
