"""Costs equal the paper's tables, and the arithmetic that the traced network really does."""

import math

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from dit_grid.model import BLOCKS, DiT, DiTConfig, accounting
from dit_grid.model.config import SEQUENCE_BLOCKS
from dit_grid.model.dit import Context

# Trainable parameters counted on the reference modules (adaLN-Zero) or by the paper's formula (the other designs), and
# Gflops as printed in Table 4 of Peebles & Xie (2022).
PAPER = [
    ("S/8", 32, "adaln-zero", 33_142_016, 0.36),
    ("S/4", 32, "adaln-zero", 32_920_448, 1.41),
    ("S/2", 32, "adaln-zero", 32_865_056, 6.06),
    ("B/8", 32, "adaln-zero", 130_869_248, 1.42),
    ("B/4", 32, "adaln-zero", 130_426_496, 5.56),
    ("B/2", 32, "adaln-zero", 130_315_808, 23.01),
    ("L/8", 32, "adaln-zero", 458_578_432, 5.01),
    ("L/4", 32, "adaln-zero", 457_988_224, 19.70),
    ("L/2", 32, "adaln-zero", 457_840_672, 80.71),
    ("XL/8", 32, "adaln-zero", 675_664_640, 7.39),
    ("XL/4", 32, "adaln-zero", 675_000_704, 29.05),
    ("XL/2", 32, "adaln-zero", 674_834_720, 118.64),
    ("XL/2", 32, "in-context", 449_162_528, 119.37),
    ("XL/2", 32, "cross-attention", 597_991_712, 137.62),
    ("XL/2", 32, "adaln", 600_452_384, 118.56),
    ("XL/2", 64, "adaln-zero", 674_834_720, 524.60),
]


@pytest.mark.parametrize(("name", "image_size", "block", "params", "gflops"), PAPER)
def test_every_network_of_table_4_costs_what_the_paper_prints(name, image_size, block, params, gflops):
    config = DiTConfig.from_name(name, image_size=image_size, block=block)
    assert accounting.trainable_params(config) == params
    # The authors' counter adds about one operation an element for two norms a block; how is not published. With that,
    # fifteen rows agree to the printed two decimals, and B/4, whose printed value no consistent count gives, to 0.01.
    tokens = config.tokens + (2 if block == "in-context" else 0)
    counted = (accounting.forward_macs(config) + 2 * config.depth * tokens * config.width) / 1e9
    assert counted == pytest.approx(gflops, abs=0.0100001 if name == "B/4" else 0.0050001)


def test_the_total_adds_the_fixed_position_table():
    assert accounting.total_params(DiTConfig.from_name("XL/2", image_size=32)) == 675_129_632
    assert accounting.total_params(DiTConfig.from_name("XL/2", image_size=64)) == 676_014_368


@pytest.mark.parametrize(
    ("block", "learn_sigma", "context"),
    [*((block, sigma, None) for block in BLOCKS for sigma in (True, False)), *((b, True, 5) for b in SEQUENCE_BLOCKS)],
)
def test_formulas_count_the_parameters_and_products_of_the_traced_network(block, learn_sigma, context):
    config = DiTConfig(
        16, 4, 48, 9, 3, channels=3, classes=7, block=block, learn_sigma=learn_sigma, mlp_ratio=3,
        context_width=20 if context else None,
    )  # fmt: skip
    graph, state = nnx.split(nnx.eval_shape(lambda: DiT(config, nnx.Rngs(0))))
    assert sum(leaf.size for leaf in jax.tree.leaves(state)) == accounting.trainable_params(config)
    words = Context(jnp.zeros((1, context or 0, 20)), jnp.ones((1, context or 0), bool))
    condition = words if context else jnp.zeros(1, int)
    program = jax.jit(lambda state, *inputs: nnx.merge(graph, state)(*inputs))
    jaxpr = program.trace(state, jnp.zeros((1, 16, 16, 3)), jnp.zeros(1), condition).jaxpr.jaxpr
    assert traced_macs(jaxpr) == accounting.forward_macs(config, context_tokens=context or 1)


def traced_macs(jaxpr, times=1):
    """Multiply-accumulates of all matrix products in a program, loops counted as often as they run."""
    total = 0
    for equation in jaxpr.eqns:
        assert equation.primitive.name != "conv_general_dilated", "convolutions are not counted here"
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += times * equation.outvars[0].aval.size * math.prod(shape[axis] for axis in contracted)
        inner = times * equation.params.get("length", 1)
        for value in equation.params.values():
            if isinstance(value, jax.extend.core.ClosedJaxpr):
                total += traced_macs(value.jaxpr, inner)
            elif isinstance(value, jax.extend.core.Jaxpr):
                total += traced_macs(value, inner)
    return total


def test_training_compute_is_three_forward_passes_an_image_and_update():
    # Figure 9's axis: XL/2 reaches 1e10 Gflops, in the paper's units, at step 109,751 of batch 256.
    macs = accounting.training_macs(DiTConfig.from_name("XL/2", image_size=32), batch=256, steps=109_751)
    assert macs / 1e9 == pytest.approx(1e10, rel=1e-3)


def test_sampling_compute_matches_figure_10_and_guidance_doubles_it():
    config = DiTConfig.from_name("L/2", image_size=32)
    macs = accounting.sampling_macs(config, 1000)
    assert macs / 1e12 == pytest.approx(80.7, rel=1e-3)
    assert accounting.sampling_macs(config, 1000, guided=True) == 2 * macs


def test_the_papers_speed_is_a_fifteenth_of_a_tpu_v3_pods_peak():
    config = DiTConfig.from_name("XL/2", image_size=32)
    peak = accounting.device_peak("TPU v3")
    assert peak is not None
    macs_per_s = accounting.training_macs(config, 256, 1) * 5.7
    # A v3-256 pod is 256 cores; the paper gives 5.7 updates a second.
    assert accounting.model_flops_utilization(macs_per_s, peak.flops_per_s, 256) == pytest.approx(0.066, abs=0.001)


@pytest.mark.parametrize(
    ("kind", "tflops"),
    [
        ("NVIDIA H200", 989.4),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H100 NVL", 835.5),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("TPU v2", 22.5),
        ("TPU v5 lite", 197),
        ("TPU v5", 459),
    ],
)
def test_a_device_is_found_by_the_name_that_jax_gives_it(kind, tflops):
    peak = accounting.device_peak(kind)
    assert peak is not None
    assert peak.flops_per_s == pytest.approx(tflops * 1e12)


def test_a_device_that_is_not_listed_has_no_peak_rather_than_a_guess():
    assert accounting.device_peak("cpu") is None
    with pytest.raises(ValueError, match="positive"):
        accounting.model_flops_utilization(1e9, 0.0)


@pytest.mark.parametrize("remat", ["none", "dots", "block"])
def test_activation_memory_is_within_a_factor_of_two_of_what_the_compiler_reserves(remat):
    config = DiTConfig(16, 2, 64, 12, 4, channels=4, classes=10)
    graph, state = nnx.split(nnx.eval_shape(lambda: DiT(config, nnx.Rngs(0), remat=remat)))

    def gradient(state, x):
        return jax.grad(lambda s: nnx.merge(graph, s)(x, x[:, 0, 0, 0], jnp.zeros(len(x), int)).mean())(state)

    x = jax.ShapeDtypeStruct((32, 16, 16, 4), jnp.float32)
    memory = jax.jit(gradient).lower(state, x).compile().memory_analysis()
    assert memory is not None
    # A factor of two: fusion decides what is stored, which the estimate cannot know.
    assert 0.5 < accounting.activation_bytes(config, 32, remat=remat) / memory.temp_size_in_bytes < 2


def test_an_unknown_rematerialisation_is_refused():
    with pytest.raises(ValueError, match="none, dots, block"):
        accounting.activation_bytes(DiTConfig.from_name("S/8", image_size=32), 1, remat="all")


def test_the_length_of_captions_is_part_of_the_costs():
    config = DiTConfig(16, 4, 24, 2, 3, block="in-context", context_width=20, context_length=7)
    assert accounting.forward_macs(config) == accounting.forward_macs(config, context_tokens=7)
    assert accounting.forward_macs(config) > accounting.forward_macs(config, context_tokens=1)
