"""Costs read from compiled programs: against XLA's own counts on the CPU, the model's accounting, and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.training.update import Program
from dit_grid.model import accounting
from dit_grid.orchestrator.compiling.costs import costs_of
from dit_grid.orchestrator.compiling.groups import groups_of
from dit_grid.orchestrator.compiling.hlo import UnreadableProgramError, read_module


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def compiled(function, *arguments):
    return jax.jit(function).lower(*arguments).compile()


@pytest.mark.parametrize(
    ("strides", "padding", "stretched", "dilated"),
    [((1, 1), [(1, 1), (0, 2)], (1, 1), (1, 1)), ((2, 3), [(3, 0), (5, 1)], (3, 1), (1, 2)), ((15, 1), [(0, 0), (0, 0)],
     (16, 1), (1, 1))],
)  # fmt: skip
def test_a_convolution_counts_as_xla_counts_it(strides, padding, stretched, dilated):
    def convolution(x, w):
        return lax.conv_general_dilated(
            x, w, strides, padding, lhs_dilation=stretched, rhs_dilation=dilated,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip

    program = compiled(convolution, shape(2, 9, 8, 3), shape(4, 3, 3, 5))
    assert costs_of(read_module(program.as_text()), [0]).flops == program.cost_analysis()["flops"] > 0


def test_a_loop_counts_as_often_as_it_runs():
    def layers(x, w):
        return lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, w)[0]

    program = compiled(layers, shape(16, 32), shape(7, 32, 32))
    assert costs_of(read_module(program.as_text()), [0]).flops == 7 * 2 * 16 * 32 * 32
    assert program.cost_analysis()["flops"] < 2 * 2 * 16 * 32 * 32  # XLA's own counts the body once


def test_a_training_step_takes_the_arithmetic_of_the_accounting():
    """Of a network that is deep enough to be scanned, by autodiff as on TPUs: norms for CPU cores have products too."""
    run = RunSpec.model_validate({
        "model": {"size": "T", "patch": 2, "image_size": 16, "width": 32, "depth": 9, "heads": 2},
        "data": {"name": "none"},
        "train": {"steps": 100, "batch": 8, "log_every": 100},
        "evaluate": {"every": 100}, "execution": {"checkpoint_every": 100, "attention": "xla"},
    })  # fmt: skip
    lowered, argument_bytes = Program(run).lower_step()
    found = costs_of(read_module(str(lowered.compile().as_text())), [0])
    macs = accounting.training_macs(run.network, run.train.batch, 1)
    terms = accounting.forward_macs_by_term(run.network)
    unneeded = terms["patch_embedding"] + accounting.FREQUENCIES * run.model.width  # gradients of inputs
    assert found.flops == 2 * (macs - run.train.batch * unneeded)
    params = accounting.trainable_params(run.network)
    images = 8 * (16 * 16 * 4 + 1) * 4
    assert argument_bytes == pytest.approx(4 * 4 * params + images, abs=16)  # and the counters of steps


PROGRAM = """HloModule step, is_scheduled=true

%fused (param_0: f32[28,8,128], param_1: s32[]) -> f32[8,128] {
  %param_0 = f32[28,8,128]{2,1,0:T(8,128)} parameter(0)
  %param_1 = s32[] parameter(1)
  %zero = s32[] constant(0)
  %slice.1 = f32[1,8,128]{2,1,0:T(8,128)} dynamic-slice(%param_0, %param_1, %zero, %zero), dynamic_slice_sizes={1,8,128}
  ROOT %bitcast.1 = f32[8,128]{1,0:T(8,128)} bitcast(%slice.1)
}

%body (arg: (s32[], f32[28,8,128])) -> (s32[], f32[28,8,128]) {
  %arg = (s32[]{:T(128)}, f32[28,8,128]{2,1,0:T(8,128)}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%arg), index=0
  %w = f32[28,8,128]{2,1,0:T(8,128)} get-tuple-element(%arg), index=1
  %layer = f32[8,128]{1,0:T(8,128)S(1)} fusion(%w, %i), kind=kLoop, calls=%fused, config={"estimated_cycles":"100"}
  %sum = f32[8,128]{1,0:T(8,128)S(1)} all-reduce(%layer), replica_groups=[2,2]<=[4], to_apply=%add
  %short = bf16[3,100]{1,0:T(8,128)(2,1)} fusion(%sum), kind=kLoop, calls=%narrow
  %whole = bf16[12,100]{1,0:T(8,128)(2,1)} all-gather(%short), replica_groups={{0,1,2,3}}, dimensions={0}
  %one = s32[] constant(1)
  %next = s32[]{:T(128)} add(%i, %one)
  ROOT %out = (s32[], f32[28,8,128]) tuple(%next, %w)
}

%narrow (param_2: f32[8,128]) -> bf16[3,100] {
  %param_2 = f32[8,128]{1,0:T(8,128)} parameter(0)
  ROOT %narrowed = bf16[3,100]{1,0:T(8,128)(2,1)} custom-call(%param_2), custom_call_target="x"
}

%condition (arg.1: (s32[], f32[28,8,128])) -> pred[] {
  %arg.1 = (s32[], f32[28,8,128]) parameter(0)
  %count = s32[] get-tuple-element(%arg.1), index=0
  %bound = s32[] constant(28)
  ROOT %less = pred[] compare(%count, %bound), direction=LT
}

ENTRY %main (start: (s32[], f32[28,8,128])) -> (s32[], f32[28,8,128]) {
  %start = (s32[], f32[28,8,128]) parameter(0)
  ROOT %loop = (s32[], /*index=1*/f32[28,8,128]{2,1,0:T(8,128)}) while(%start), condition=%condition, body=%body
}
"""


def test_traffic_cycles_and_communication_of_a_small_program_by_hand():
    found = costs_of(read_module(PROGRAM), hosts=[0, 0, 1, 1])
    layer, short, whole, scalar = 8 * 128 * 4, 8 * 128 * 2, 16 * 128 * 2, 4  # in tiles of 8 x 128
    sliced, narrowed, gathered, counted = layer + scalar, short, short + whole, 3 * scalar
    assert found.traffic_bytes == 28 * (sliced + narrowed + gathered + counted)  # what lies on the chip is free
    assert found.cycles == 28 * 100
    assert found.collective_bytes == {"all-reduce": 28 * layer, "all-gather": 28 * 12 * 100 * 2}
    assert found.between_hosts_bytes == 28 * 12 * 100 * 2  # the all-reduce stays within hosts
    assert found.sent_bytes == 28 * (layer * 2 * 1 / 2 + 2400 * 3 / 4)


def test_a_loop_without_a_plain_bound_is_not_guessed():
    with pytest.raises(UnreadableProgramError, match="no plain bound"):
        costs_of(read_module(PROGRAM.replace("%bound = s32[] constant(28)", "%bound = s32[] add(%count, %count)")), [0])


@pytest.mark.parametrize(
    ("written", "groups"),
    [
        ("replica_groups={{0,2},{1,3}}", [[0, 2], [1, 3]]),
        ("replica_groups=[2,2]<=[4]", [[0, 1], [2, 3]]),
        ("replica_groups=[2,2]<=[2,2]T(1,0)", [[0, 2], [1, 3]]),
        ("replica_groups=mesh['axis_0'=2,'axis_1'=2] {'axis_0'}", [[0, 2], [1, 3]]),
        ("replica_groups=mesh['axis_0'=2,'axis_1'=2] {'axis_1'}", [[0, 1], [2, 3]]),
        ("replica_groups={}", [[0, 1, 2, 3]]),
    ],
)
def test_groups_in_every_notation(written, groups):
    text = PROGRAM.replace("replica_groups=[2,2]<=[4]", written)
    one = read_module(text).computations["body"].instructions["sum"]
    assert np.array_equal(groups_of(one, 4), groups)
