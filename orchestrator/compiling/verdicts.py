"""What the compiler's figures mean for a run: whether it fits with its evaluation, how fast a roofline lets it go.

Asking is `compiler`, keeping `kept`, which programs a run has `questions`, and what else would fit `alternatives`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dit_grid.experiments.spec.run import RunSpec
from dit_grid.model import accounting
from dit_grid.orchestrator.compiling import child, kept
from dit_grid.orchestrator.compiling.compiler import ask, check_compiler
from dit_grid.orchestrator.compiling.generations import generation_of
from dit_grid.orchestrator.compiling.inline import held_inline
from dit_grid.orchestrator.compiling.layouts import layout_of
from dit_grid.orchestrator.compiling.questions import COMPILED_STEPS, SAMPLE, Question, evaluation_of, update_of

COMPUTE, MEMORY, INTERCONNECT = "compute", "memory", "interconnect"


@dataclass(frozen=True)
class Figures:
    """What the compiler says of one program, of one core (one JAX device): bytes, FLOPs and seconds.

    `estimated_s` is the sum of the compiler's cycles, communication left out, where the generation's clock is known;
    `roofline_s` the longest of three times at peak, and `bound` which. A program that does not fit has no figures but
    what it needs, and so has one that could not be read; `unread` says why, else it is empty.
    """

    slice: str
    fits: bool
    hbm_needed_bytes: int
    hbm_granted_bytes: int
    traffic_bytes: int | None
    flops: int | None
    collective_bytes: dict[str, int]
    between_hosts_bytes: int | None
    estimated_s: float | None
    compiler_s: float
    roofline_s: float | None
    bound: str | None
    unread: str


@dataclass(frozen=True)
class CompiledProgram(Figures):
    """One call of one program of an evaluation: a chunk drawn, or a batch decoded or looked at.

    `program` is sample, decode or features, and `what` says which in words. `held_bytes` is its need with all that
    stays on the core meanwhile: the training state, and the networks that images are measured with.
    """

    program: str
    what: str
    held_bytes: int


@dataclass(frozen=True)
class Compiled(Figures):
    """One update of a run on its slice.

    `flops` are those of the compiled program, recomputation and padding included, `model_flops` what the model's own
    arithmetic takes.

    `programs` are those of the evaluation. `inline_bytes` is the most that a core holds of it all, which decides: the
    training step beside the networks that images are measured with, or the state and these beside the largest program.
    Where evaluations are jobs of their own it is theirs; `fits` is of the training step, `evaluation_fits` of this.
    """

    topology: str
    devices: int
    layout: str
    model_flops: int
    programs: tuple[CompiledProgram, ...] = ()
    inline_bytes: int | None = None
    evaluation_fits: bool = True


class RefusedError(ValueError):
    """The run's layout or batch cannot be had on its slice; one line."""


def judge(run: RunSpec, versions: dict[str, str]) -> Compiled:
    """Return the compiler's verdict on the training step of a run that names a slice, from disk where it was asked.

    Raises CompilerError where the compiler cannot answer, RefusedError for a batch or mesh that does not divide.
    """
    slice_name = run.execution.resources.slice
    assert slice_name is not None
    question = update_of(run, slice_name)
    answer = answered(question, run, versions)
    macs = accounting.training_macs(run.network, run.train.batch, steps=1)
    return Compiled(
        topology=question.topology.name,
        devices=question.topology.devices,
        layout=layout_of(run),
        model_flops=accounting.FLOPS_PER_MAC * macs // question.topology.devices,
        **_figures(question, answer),
    )


def with_evaluation(
    run: RunSpec, step: Compiled, versions: dict[str, str], done: Callable[[], None] = lambda: None
) -> Compiled:
    """Return the verdict on the training step with those on the programs of its evaluation. Raises as `judge`."""
    asked = evaluation_of(run)
    answers = []
    for question in asked:
        answers.append(answered(question, run, versions))
        done()
    if not asked:
        return step
    held = held_inline(asked, answers)
    programs = tuple(
        CompiledProgram(
            program=question.program, what=question.said, held_bytes=bytes_held, **_figures(question, answer)
        )
        for question, answer, bytes_held in zip(asked, answers, held.programs, strict=True)
    )
    apart = run.execution.evaluate_on is not None
    most = max(held.programs) if apart else max(step.hbm_needed_bytes + held.networks, *held.programs)
    granted = programs[0].hbm_granted_bytes
    fits = most <= granted and all(one.fits for one in programs)
    return replace(step, programs=programs, inline_bytes=most, evaluation_fits=fits)


def judge_all(runs: Iterable[RunSpec], done: Callable[[], None]) -> tuple[dict[str, Compiled], dict[str, RefusedError]]:
    """Return run id -> verdict for every run on a slice, and run id -> why of those that can have none.

    `done` is called once for each of `programs_of`.
    """
    versions, found, refused = check_compiler(), dict[str, Compiled](), dict[str, RefusedError]()
    for run in on_slices(runs):
        try:
            step = judge(run, versions)
            done()
            found[run.id] = with_evaluation(run, step, versions, done)
        except RefusedError as error:
            refused[run.id] = error
    return found, refused


def on_slices(runs: Iterable[RunSpec]) -> list[RunSpec]:
    """Return the runs that train on a TPU slice."""
    return [run for run in runs if run.execution.resources.slice]


def programs_of(runs: Iterable[RunSpec]) -> int:
    """Return how many programs the runs have on slices, counted by run."""
    return sum(1 + len(evaluation_of(run)) for run in on_slices(runs))


def answered(question: Question, run: RunSpec, versions: dict[str, str]) -> dict[str, Any]:
    """Return the compiler's answer, from disk where it was asked before. Raises as `judge`."""
    name = kept.key(question, versions)
    answer = kept.recall(name)
    if answer is None:
        answer = ask(question)
        kept.keep(name, answer)
    if answer["kind"] == child.REFUSED:
        raise RefusedError(f"{run.model.name} ({run.id}) on {question.slice}: {answer['message']}")
    return answer


def _figures(question: Question, answer: dict[str, Any]) -> dict[str, Any]:
    granted = answer.get("hbm_granted_bytes", generation_of(question.slice).granted_bytes)
    fits = answer["kind"] == child.FITS
    return {
        "slice": question.slice,
        "fits": fits,
        "hbm_needed_bytes": answer["hbm_needed_bytes"],
        "hbm_granted_bytes": granted,
        "compiler_s": answer["compiler_s"],
        "unread": answer.get(child.UNREAD, ""),
        **(_roofline(question.slice, _counted(question, answer)) if fits and child.UNREAD not in answer else _NOTHING),
    }


_COUNTED = ("cycles", "flops", "traffic_bytes", "sent_bytes", "between_hosts_bytes")

_NOTHING: dict[str, Any] = dict.fromkeys(
    ("traffic_bytes", "flops", "between_hosts_bytes", "estimated_s", "roofline_s", "bound")
) | {"collective_bytes": {}}


def _counted(question: Question, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the program counts at the steps asked for, where its loop ran as often as was compiled."""
    more, a_step = question.steps - COMPILED_STEPS, answer.get("a_step")
    if question.program != SAMPLE or not more or not a_step:
        return dict(answer)
    sent = {kind: size + more * a_step["collective_bytes"].get(kind, 0)
            for kind, size in answer["collective_bytes"].items()}  # fmt: skip
    return {name: answer[name] + more * a_step[name] for name in _COUNTED} | {"collective_bytes": sent}


def _roofline(slice_name: str, answer: dict[str, Any]) -> dict[str, Any]:
    generation = generation_of(slice_name)
    share = 1 / generation.devices_a_chip
    seconds = {
        COMPUTE: answer["flops"] / (generation.flops_per_s * share),
        MEMORY: answer["traffic_bytes"] / (generation.hbm_bytes_per_s * share),
        INTERCONNECT: answer["sent_bytes"] / (generation.link_bytes_per_s * share),
    }
    bound = max(seconds, key=lambda term: seconds[term])
    return {
        **{name: answer[name] for name in ("traffic_bytes", "flops", "between_hosts_bytes", "collective_bytes")},
        "estimated_s": answer["cycles"] / generation.clock_hz if generation.clock_hz else None,
        "roofline_s": seconds[bound],
        "bound": bound,
    }
