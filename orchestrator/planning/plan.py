"""What a spec would run and cost before anything runs: compute from `model.accounting`, and time and money from that.

Hours come from the speed that the store holds for the same run, else from the roofline of its compiled program, of this
day or shipped, and the efficiency that the spec states (never faster than the compiler's own cycles), else from the MFU
that it states and the peak of what it runs on; with none of these there are none. Nothing is reserved and no
accelerator is needed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dit_grid.experiments.running.owed_evaluations import EvaluationJob, evaluation_steps, settings_due
from dit_grid.experiments.spec import AnyRun, ExperimentSpec, PriceSpec, RunSpec
from dit_grid.experiments.spec.any_run import costs, objective
from dit_grid.experiments.spec.execution import ResourceSpec
from dit_grid.model import accounting
from dit_grid.orchestrator.compiling.known_rooflines import known_roofline
from dit_grid.orchestrator.compiling.roofline import Roofline
from dit_grid.orchestrator.planning.peaks import chips_and_cores, peak_flops_per_s
from dit_grid.orchestrator.planning.terms import (
    FIRST_READING,
    SAID_AT_NOTHING,
    Term,
    beside_terms,
    coming_up,
    heldout_reading,
    scoring,
    scoring_terms,
    waiting_term,
)

LONGEST = 50.0
"""A piece of work that is preempted more often than so is never done; its time is any absurd number."""


LOST = "preemptions and overhead"

EFFICIENCY = 0.74
"""Share of a roofline that is reached, where a spec states neither it nor an MFU: the 5.7 updates a second of XL/2 on a
v3-256 (Peebles & Xie 2022, section 5) are that of its roofline with a whole state on every core, 129.3 ms."""


class Speed(NamedTuple):
    """Updates a second, and the range in which nine of ten measurements lie."""

    steps_per_s: float
    low: float
    high: float


@dataclass(frozen=True)
class PlanRow:
    """One run. GMACs are multiply-accumulates / 1e9, of one forward pass or of the whole run's training or sampling.

    `hours` is what it holds its resources for: `train_hours`, `eval_hours` (sampling at the same rate of
    multiply-accumulates, decoding, scoring), `beside_hours` (start, compilation, checkpoints, data), and the share
    `overhead` on top; `terms` has each with its source. `hours_low` and `hours_high` bound it as far as the speed is
    known. What the spec of one's own trainer does not say is None.
    """

    run_id: str
    model: str
    block: str
    params: int | None
    forward_gmacs: float | None
    tokens: int | None
    batch: int | None
    steps: int
    train_gmacs: float | None
    eval_gmacs: float
    on: str
    chips: int
    steps_per_s: float | None
    speed_from: str
    train_hours: float | None
    eval_hours: float | None
    overhead: float
    hours: float | None
    hours_low: float | None
    hours_high: float | None
    usd_per_hour: float | None
    usd: float | None
    eval_on: str
    """What evaluations hold: the run's own resources, or others where they are jobs of their own."""
    eval_usd: float | None
    """What of `usd` they cost."""
    objective: str
    """What the network is trained on, in words; empty of a trainer of one's own."""
    beside_hours: float | None = None
    terms: tuple[Term, ...] = ()


def plan(
    spec: ExperimentSpec, measured_steps_per_s: Mapping[str, float | Speed] | None = None,
    rooflines: Mapping[str, Roofline] | None = None,
) -> list[PlanRow]:  # fmt: skip
    """Return a row for each run of the spec; `measured_steps_per_s` holds speeds by run id where the store has them.

    `rooflines` hold, by run id, what the compiler said where programs were compiled; where not, those that the package
    ships stand in.
    """
    measured, asked = measured_steps_per_s or {}, rooflines or {}
    return [_row(run, spec.plan, measured.get(run.id), asked.get(run.id)) for run in spec.runs]


def times_evaluated(run: AnyRun) -> int:
    """Return how many times the run is measured: every so many steps, and at its end."""
    return -(-run.train.steps // run.evaluate.every)


def evaluation_macs(run: AnyRun) -> int:
    """Return the multiply-accumulates of drawing all samples of all evaluations of the run; scoring is not counted."""
    return sum(evaluation_macs_at(run, s) for s in evaluation_steps(run)) if isinstance(run, RunSpec) else 0


def evaluation_macs_at(run: RunSpec, step: int) -> int:
    """Return the multiply-accumulates of drawing the samples that measure the run at one step."""
    return sum(
        setting.samples * accounting.sampling_macs(run.network, setting.evaluations, guided=setting.guidance != 1.0)
        for setting in settings_due(run, step) if setting.draws
    )  # fmt: skip


def evaluation_s(job: EvaluationJob, steps_per_s: float) -> float:
    """Return how long the job takes where its run trains `steps_per_s`: at the same rate per chip or core."""
    train, own = chips_and_cores(job.trains_on)[1], chips_and_cores(job.execution.resources)[1]
    macs_per_s = steps_per_s * accounting.training_macs(job.network, job.train.batch, steps=1) * own / train
    scored = scoring(job, settings_due(job, job.measures), job.execution.resources)
    return max(evaluation_macs_at(job, job.measures) / macs_per_s + 3600 * sum(term.hours for term in scored), 1.0)


def usd_per_hour(resources: ResourceSpec, price: PriceSpec) -> float | None:
    """Return what an hour of the resources costs at the spec's price; None where it states none."""
    hourly = price.hourly(resources.kind)
    return None if hourly is None else hourly * resources.count


def _row(run: AnyRun, price: PriceSpec, measured: float | Speed | None, compiled: Roofline | None) -> PlanRow:
    resources, known, evaluation = run.execution.resources, costs(run), evaluation_macs(run)
    speed, source = _speed(run, price, measured, compiled)
    train_hours = eval_hours = beside_hours = hours = hours_low = hours_high = None
    lost, terms, scored = price.overhead, list[Term](), list[Term]()
    apart, eval_resources = run.execution.evaluate_on is not None, run.execution.evaluate_on or resources
    hourly, eval_hourly = usd_per_hour(resources, price), usd_per_hour(eval_resources, price)
    usd = eval_usd = None
    if speed is not None:
        train_hours = run.train.steps / speed.steps_per_s / 3600
        share = chips_and_cores(resources)[1] / chips_and_cores(eval_resources)[1]  # the same rate per core
        sampling_hours = train_hours * evaluation / (known.train_macs or 1) * share
        scored, beside = scoring_terms(run, eval_resources), beside_terms(run, price, train_hours)
        if apart and isinstance(run, RunSpec):
            due = [settings_due(run, step) for step in evaluation_steps(run)]
            scored += coming_up(eval_resources, price, len(due), " of evaluations") + heldout_reading(run, price, due)
        eval_hours = sampling_hours + sum(term.hours for term in scored)
        beside_hours = sum(term.hours for term in beside)
        read_s = 3600 * sum(term.hours for term in beside if term.name == FIRST_READING)
        lost += preemption_overhead(run, price, speed.steps_per_s, 0.0 if apart else eval_hours * 3600, read_s)
        stretched = (train_hours + sampling_hours) * (1 + lost)  # what a higher speed shortens
        hours = (train_hours + eval_hours + beside_hours) * (1 + lost)
        hours_low, hours_high = (hours + stretched * (speed.steps_per_s / end - 1) for end in (speed.high, speed.low))
        terms = [Term("updates", train_hours, source), Term("sampling", sampling_hours, f"updates' rate ({source})")]
        terms += [*scored, *beside, Term(LOST, (hours / (1 + lost)) * lost, "spec: plan")]
        terms += waiting_term(price, hours)
        if hourly is not None and eval_hourly is not None:
            eval_usd = eval_hours * (1 + lost) * eval_hourly
            usd = (train_hours + beside_hours) * (1 + lost) * hourly + eval_usd
    return PlanRow(
        run.id,
        run.model.name,
        run.model.block,
        known.params,
        _giga(known.forward_macs),
        known.tokens,
        run.train.batch,
        run.train.steps,
        _giga(known.train_macs),
        evaluation / 1e9,
        resources.slice or f"{resources.count} {resources.kind}",
        chips_and_cores(resources)[0],
        speed.steps_per_s if speed is not None else None,
        source,
        train_hours,
        eval_hours,
        lost,
        hours,
        hours_low,
        hours_high,
        hourly,
        usd,
        eval_resources.slice or f"{eval_resources.count} {eval_resources.kind}",
        eval_usd,
        objective(run),
        beside_hours,
        _priced(terms, hourly, ["sampling", *(term.name for term in scored)], eval_hourly, usd),
    )


def _priced(
    terms: list[Term], hourly: float | None, elsewhere: Sequence[str], eval_hourly: float | None, usd: float | None
) -> tuple[Term, ...]:
    """The terms with what each costs, `usd` together, without those that are nothing; `elsewhere` are the evaluations'.

    Time is lost on the resources of updates and of evaluations, so what it costs is what is left of the whole.
    """
    rates = [(eval_hourly if term.name in elsewhere else hourly) for term in terms]
    costs = [None if rate is None else term.hours * rate * term.billed for term, rate in zip(terms, rates, strict=True)]
    rest = sum(cost or 0.0 for term, cost in zip(terms, costs, strict=True) if term.name != LOST)
    return tuple(
        replace(term, usd=(None if usd is None else usd - rest) if term.name == LOST else cost)
        for term, cost in zip(terms, costs, strict=True)
        if term.hours or not term.known or term.name in SAID_AT_NOTHING
    )


def _giga(macs: int | None) -> float | None:
    return None if macs is None else macs / 1e9


def preemption_overhead(
    run: AnyRun, price: PriceSpec, steps_per_s: float, eval_s: float = 0.0, read_s: float = 0.0
) -> float:
    """Return the share of time that preemptions add; `eval_s` is what all evaluations take together.

    `read_s` are seconds that a start waits for data that its hosts have not read yet.

    Work is safe once it is committed. A piece of t seconds between two commits (a checkpoint's interval, and the
    evaluation before a checkpoint) takes (1/rate + restart) (e^(rate t) - 1) seconds on average if preemptions are
    Poisson, and each costs a restart and the piece so far (e.g. Young 1974 and Daly 2006 on checkpoint intervals).
    """
    if not price.preemptions_per_hour:
        return 0.0
    rate, train_s = price.preemptions_per_hour / 3600, run.train.steps / steps_per_s
    pieces, evaluations = -(-run.train.steps // run.execution.checkpoint_every), times_evaluated(run)
    with_evaluation = min(evaluations, pieces)
    plain_s = train_s / pieces
    long_s = plain_s + eval_s / with_evaluation if with_evaluation else plain_s
    expected_s = sum(
        count * (1 / rate + price.restart_s + read_s) * math.expm1(min(rate * seconds, LONGEST))
        for count, seconds in ((pieces - with_evaluation, plain_s), (with_evaluation, long_s))
    )
    return expected_s / (train_s + eval_s) - 1


def _speed(
    run: AnyRun, price: PriceSpec, measured: float | Speed | None, compiled: Roofline | None
) -> tuple[Speed | None, str]:
    if isinstance(measured, Speed):
        return measured, "measured"
    if measured:
        return Speed(measured, measured, measured), "measured"
    known = (compiled, "") if compiled is not None else known_roofline(run)
    efficiency = EFFICIENCY if price.efficiency is None and price.mfu is None else price.efficiency
    if efficiency is not None and known is not None:
        roofline, asked = known
        speed = _between(1 / roofline.seconds(efficiency), price, roofline.cycles_s)
        return speed, roofline.by(efficiency) + (asked and f", {asked}")
    peak = peak_flops_per_s(run.execution.resources)
    macs = costs(run).train_macs
    if price.mfu is None or peak is None or macs is None:
        return None, ""
    flops_a_step = accounting.FLOPS_PER_MAC * macs / run.train.steps
    return _between(price.mfu * peak / flops_a_step, price), f"MFU {price.mfu:.1%}"


def _between(rate: float, price: PriceSpec, least_s: float | None = None) -> Speed:
    """The rate and its range; no end of it is quicker than `least_s` an update."""
    high = rate * (1 + price.mfu_error)
    return Speed(rate, rate * (1 - price.mfu_error), min(high, 1 / least_s) if least_s else high)
