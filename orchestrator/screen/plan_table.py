"""What `dit-grid plan` prints: the runs with their costs, what is done of them, and what all of it comes to.

What each run costs is `planning`; how a table fits a terminal is `rows`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dit_grid.model.plurals import counted
from dit_grid.orchestrator.planning.gpu_memory import estimate_lines, estimates
from dit_grid.orchestrator.screen.cells import short
from dit_grid.orchestrator.screen.money import TERM_INSET, bill_record, money_lines, price_record, term_lines
from dit_grid.orchestrator.screen.prose import print_text
from dit_grid.orchestrator.screen.rows import print_rows, span, time_unit
from dit_grid.orchestrator.screen.tables import print_json

if TYPE_CHECKING:
    from dit_grid.experiments.spec import ExperimentSpec
    from dit_grid.orchestrator.advice.expectations import Expectation, Expectations
    from dit_grid.orchestrator.compiling.verdicts import Compiled
    from dit_grid.orchestrator.planning.plan import PlanRow
    from dit_grid.orchestrator.planning.wall_time import Wall
    from dit_grid.orchestrator.simulation.bill import Bill


def print_plan(
    spec: "ExperimentSpec", rows: "list[PlanRow]", as_json: bool, expected: "Expectations | None" = None,
    compiled: "Mapping[str, Compiled] | None" = None, done: Mapping[str, int] | None = None,
    wall: "Wall | None" = None, billed: "Bill | None" = None, with_terms: bool = False,
) -> None:  # fmt: skip
    """Print the plan's rows and their total, with what each run is expected to reach where something is known.

    `done` is to which step the store holds each run that was begun, `wall` the time that the rest takes here,
    `billed` what the spec's slices cost. In JSON each row holds what the TPU compiler said of its run, if asked, its
    price and the bill of them all.
    """
    expected, done, memory = expected or {}, done or {}, estimates(spec.runs)
    from dit_grid.experiments.spec.any_run import stored
    from dit_grid.experiments.spec.swept import told_apart

    said = {run_id: {name: asdict(one) for name, one in found.items()} for run_id, found in expected.items()}
    swept = dict(zip((r.id for r in spec.runs), told_apart([stored(r) for r in spec.runs]), strict=True))
    if as_json:
        verdicts = [{} if compiled is None else {"compiled": _record(compiled.get(row.run_id))} for row in rows]
        whole = bill_record(spec, rows, billed)
        known = [{"swept": swept.get(row.run_id, {}), "expected": said.get(row.run_id, {}),
                  "steps_done": done.get(row.run_id, 0), **_estimated(memory, row.run_id),
                  "price": price_record(spec, row), "bill": whole} for row in rows]  # fmt: skip
        print_json([asdict(row) | one | two for row, one, two in zip(rows, known, verdicts, strict=True)])
        return
    unit, scale = time_unit([row.hours for row in rows])
    names = list(next(iter(swept.values()), {}))
    shown = [_shown(row, done.get(row.run_id), expected.get(row.run_id, {}), scale) for row in rows]
    for row in shown:
        row |= {f"swept {name}": swept.get(row["run_id"], {}).get(name) for name in names}
    columns = {
        "model": "model", "block": "block", **{name: f"swept {name}" for name in names},
        "params M": "params_m", "GMACs/image": "forward_gmacs", "tokens": "tokens",
        "batch": "batch", "steps": "steps", "done": "done",
        "train TMACs": "train_tmacs", "eval TMACs": "eval_tmacs", "on": "on", "it/s": "steps_per_s",
        "from": "speed_from",
        f"train {unit}": "train_time", f"eval {unit}": "eval_time", unit: "time", "range": "range", "usd": "usd",
        "run": "run_id",
    }  # fmt: skip
    if len({row["objective"] for row in shown}) > 1:
        columns = {"model": "model", "objective": "objective"} | columns
    if any(row["eval_on"] != row["on"] for row in shown):
        columns |= {"evaluates on": "eval_on", "eval usd": "eval_usd"}
    if not done:
        del columns["done"]
    print_rows(columns, shown, spare=SPARE_PLAN)
    if expected:
        _print_expected(expected, [row for row in shown if row["run_id"] in expected], names)
    for line in [
        *_plan_totals(spec, rows),
        *money_lines(spec, rows, billed),
        *_what_is_left(spec, rows, done),
        *_wall_lines(wall),
        *estimate_lines(spec.runs, memory),
    ]:
        print_text(line)
    for line in term_lines(rows) if with_terms else ():
        print_text(line, TERM_INSET)


def _print_expected(expected: "Expectations", shown: Sequence[dict[str, Any]], swept: Sequence[str]) -> None:
    """Print what each run that is not measured is expected to reach, and of each source which metrics it says."""
    by, metrics = dict[str, dict[str, None]](), dict[str, str]()
    for found in expected.values():
        for metric, one in found.items():
            by.setdefault(one.source, {})[metric] = None
            metrics[metric] = f"expected {metric}"
    for source, said in by.items():
        print_text(f"expected {', '.join(said)} by {source} (95 % of one new run)")
    rows = [dict.fromkeys(metrics.values()) | row for row in shown]
    print_rows({"model": "model", **{name: f"swept {name}" for name in swept}} | metrics, rows)


def _estimated(memory: Mapping[str, int], run_id: str) -> dict[str, int]:
    """What JSON says of a run on GPUs alone."""
    return {"gpu_memory_bytes": memory[run_id]} if run_id in memory else {}


def _shown(row: "PlanRow", done: int | None, expected: "Mapping[str, Expectation]", scale: float) -> dict[str, Any]:
    """The row as a person reads it: parameters in millions, compute in TMACs, times in the plan's unit (× `scale`)."""
    told = asdict(row)
    hours = {"train_time": row.train_hours, "eval_time": row.eval_hours, "time": row.hours}
    ends = (None if end is None else end * scale for end in (row.hours_low, row.hours_high))
    return told | {name: None if value is None else value * scale for name, value in hours.items()} | {
        "params_m": None if row.params is None else row.params / 1e6,
        "train_tmacs": None if row.train_gmacs is None else row.train_gmacs / 1e3,
        "eval_tmacs": row.eval_gmacs / 1e3,
        "done": _done_text(done, row.steps),
        "range": _range(*ends),
    } | {f"expected {metric}": one.to_text() for metric, one in expected.items()}  # fmt: skip


SPARE_PLAN = (
    "tokens", "from", "run", "batch", "eval TMACs", "eval hours", "eval min", "eval s", "train hours", "train min",
    "train s", "range", "it/s", "on", "evaluates on", "steps", "eval usd", "block", "train TMACs", "params M",
    "GMACs/image", "done",
)  # fmt: skip
"""What a narrow terminal does not show of a plan, the most dispensable first: models, hours and money stay."""


LITTLE = 5e-4
"""A share that reads as 0.0 % is not said."""


def _done_text(step: int | None, steps: int) -> str | None:
    if step is None:
        return None
    return "yes" if step >= steps else f"{step:,}"


def _what_is_left(spec: "ExperimentSpec", rows: "list[PlanRow]", done: Mapping[str, int]) -> list[str]:
    """Say how much of the plan its store holds already."""
    if not done:
        return [f"nothing of it is in {spec.store} yet"]
    whole = sum(done.get(row.run_id, 0) >= row.steps for row in rows)
    begun = len(done) - whole
    return [f"done in {spec.store}: {whole} of {counted(len(rows), 'run')}" + (f", {begun} begun" if begun else "")]


def _wall_lines(wall: "Wall | None") -> list[str]:
    if wall is None or not wall.hours:
        return []
    many = f"up to {wall.at_once} runs" if wall.at_once > 1 else "one run"
    seconds = 3600 * wall.hours
    takes = span(seconds) if seconds < 1 else f"about {span(seconds)}"
    return [
        f"what is left takes {takes} on the {wall.cores} cores here, {many} at once; starting and compiling not counted"
    ]


def _record(compiled: "Compiled | None") -> dict[str, Any] | None:
    return None if compiled is None else asdict(compiled)


def _plan_totals(spec: "ExperimentSpec", rows: "list[PlanRow]") -> list[str]:
    train, evaluation = sum(row.train_gmacs or 0 for row in rows), sum(row.eval_gmacs for row in rows)
    lines = [
        f"{counted(len(rows), 'run')}; training {short(train / 1e3)} and evaluation {short(evaluation / 1e3)} TMACs "
        "(1e12 multiply-accumulates; a GMAC is 1e9, the paper's Gflop; FLOPs are twice that)"
    ]
    if unknown := sum(row.train_gmacs is None for row in rows):
        lines.append(f"of {counted(unknown, 'run')} the compute is not known; say it in the spec's `cost:`")
    if sources := Counter(row.speed_from for row in rows if row.speed_from):
        lines.append("it/s from: " + "; ".join(f"{name} ({counted(n, 'run')})" for name, n in sources.items()))
    if all(row.hours is not None for row in rows):
        hours = sum(row.hours or 0 for row in rows)
        train_hours, eval_hours = sum(row.train_hours or 0 for row in rows), sum(row.eval_hours or 0 for row in rows)
        low, high = sum(row.hours_low or 0 for row in rows), sum(row.hours_high or 0 for row in rows)
        unit, scale = time_unit([hours])
        known = f" ({_range(low * scale, high * scale)})" if high > low else ""
        beside = sum(row.beside_hours or 0 for row in rows)
        lost = hours / (train_hours + eval_hours + beside) - 1
        on_top = f", {lost:.1%} on top for preemptions and other overhead" if lost >= LITTLE else ""
        starts = f", start, data, compilation and checkpoints {short(beside * scale)}" if beside else ""
        lines.append(
            f"{short(hours * scale)} {unit} if run one after another{known}: training {short(train_hours * scale)}, "
            f"evaluation {short(eval_hours * scale)}{starts}{on_top}"
        )
        lines += _left_out(rows)
    else:
        lines.append(_how_hours_come(spec, rows))
    return lines


def _how_hours_come(spec: "ExperimentSpec", rows: "list[PlanRow]") -> str:
    """Say what the speed of the runs could be known from; `plan.mfu` is of a peak, and which GPU it is nobody knows."""
    measured = "hours need a measured speed (launch once, or plan --calibrate)"
    unknown = {row.on.split()[-1] for row in rows if row.hours is None}
    if spec.plan.mfu is not None and unknown == {"gpu"}:
        return f"{measured}: which GPU it will be, and so its peak for plan.mfu, is not known here"
    return f"{measured} or plan.mfu in the spec"


def _left_out(rows: "list[PlanRow]") -> list[str]:
    """Say which parts of the time no figure is known for."""
    unknown = {term.name: term.source for row in rows for term in row.terms if not term.known}
    said = "; ".join(f"{name} ({source})" for name, source in unknown.items())
    return [f"not in these hours: {said}"] if said else []


def _range(low: float | None, high: float | None) -> str:
    """Write a range, where there is one."""
    return "" if low is None or high is None or high <= low else f"{short(low)}-{short(high)}"
