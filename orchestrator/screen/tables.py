"""What commands print: rich tables for a person, JSON for a program, from the same records."""

import json
import math
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from textwrap import fill
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console, Group
from rich.table import Table

from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.screen.rows import print_rows as print_rows, rows_table, screen, short, view

if TYPE_CHECKING:  # a status is printed before specs and models could be imported
    import pandas as pd

    from dit_grid.experiments.spec import ExperimentSpec
    from dit_grid.orchestrator.advice.expectations import Expectation
    from dit_grid.orchestrator.backends.doctor import Finding
    from dit_grid.orchestrator.compiling.verdicts import Compiled
    from dit_grid.orchestrator.planning.plan import PlanRow
    from dit_grid.orchestrator.screen.status import RunStatus


MANY_ROWS = 200
"""A table of more rows than this is nobody's to read, and takes rich seconds to draw."""


SPARE_RESULTS = (
    "size", "patch", "batch", "params", "tokens", "steps", "evaluated_at", "seed", "steps_per_s", "state", "loss",
    "heldout_loss", "run_id",
)  # fmt: skip
"""What a narrow terminal does not show of results, the most dispensable first: models and their metrics stay."""


def print_json(value: Any) -> None:
    """Print `value` as JSON that any program can read; of a list each item on a line of its own.

    NaN and infinity, for which JSON has no word, are null.
    """
    if isinstance(value, list):
        lines = (_json(item) for item in value)
        click.echo("[\n" + ",\n".join(lines) + "\n]")  # at ten thousand items four times faster than with an indent
    else:
        click.echo(_json(value, indent=2))


def _json(value: Any, indent: int | None = None) -> str:
    try:
        return json.dumps(value, indent=indent, allow_nan=False, default=str)
    except ValueError:
        return json.dumps(_finite(value), indent=indent, allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    """The value with None for every number in it that is not finite."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_text(text: str) -> None:
    """Print text; on a terminal its long lines are broken between words, what follows set in."""
    if sys.stdout.isatty():
        text = "\n".join(_wrapped(line, Console().width) for line in text.splitlines())
    click.echo(text)


def _wrapped(line: str, width: int) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    return fill(line, width, subsequent_indent=f"{indent}  ")


def print_plan(
    spec: "ExperimentSpec", rows: "list[PlanRow]", as_json: bool, expected: "Mapping[str, Expectation] | None" = None,
    compiled: "Mapping[str, Compiled] | None" = None,
) -> None:  # fmt: skip
    """Print the plan's rows and their total, with what each run is expected to reach where something is known.

    In JSON each row holds what the TPU compiler said of its run, where it was asked.
    """
    expected = expected or {}
    from dit_grid.experiments.spec.any_run import stored
    from dit_grid.experiments.spec.swept import swept_settings

    said = {run_id: asdict(one) for run_id, one in expected.items()}
    swept = dict(zip((r.id for r in spec.runs), swept_settings([stored(r) for r in spec.runs]), strict=True))
    if as_json:
        verdicts = [{} if compiled is None else {"compiled": _record(compiled.get(row.run_id))} for row in rows]
        known = [{"swept": swept.get(row.run_id, {}), "expected": said.get(row.run_id)} for row in rows]
        print_json([asdict(row) | one | two for row, one, two in zip(rows, known, verdicts, strict=True)])
        return
    shown = [asdict(row) for row in rows]
    names = list(next(iter(swept.values()), {}))
    for row in shown:
        row |= {f"swept {name}": swept.get(row["run_id"], {}).get(name) for name in names}
        row["params_m"] = None if row["params"] is None else row["params"] / 1e6
        row["train_tmacs"] = None if row["train_gmacs"] is None else row["train_gmacs"] / 1e3
        row["eval_tmacs"] = row["eval_gmacs"] / 1e3
        row["range"] = _range(row["hours_low"], row["hours_high"])
        one = expected.get(row["run_id"])
        row["expected"] = one.to_text() if one else None
    columns = {
        "model": "model", "block": "block", **{name: f"swept {name}" for name in names},
        "params M": "params_m", "GMACs/image": "forward_gmacs", "tokens": "tokens",
        "batch": "batch", "steps": "steps", "train TMACs": "train_tmacs", "eval TMACs": "eval_tmacs", "on": "on",
        "it/s": "steps_per_s", "from": "speed_from", "train h": "train_hours", "eval h": "eval_hours",
        "hours": "hours", "range": "range", "usd": "usd", "run": "run_id",
    }  # fmt: skip
    if len({row["objective"] for row in shown}) > 1:
        columns = {"model": "model", "objective": "objective"} | columns
    if any(row["eval_on"] != row["on"] for row in shown):
        columns |= {"evaluates on": "eval_on", "eval usd": "eval_usd"}
    if expected:
        metric = next(iter(expected.values())).metric
        alike = len({row["block"] for row in shown}) == 1
        columns = {key: value for key, value in columns.items() if key != "run" and not (key == "block" and alike)}
        columns |= {f"expected {metric}": "expected", "run": "run_id"}
    print_rows(columns, shown)
    for source in dict.fromkeys(one.source for one in expected.values()):
        click.echo(f"expected by {source}")
    for line in _plan_totals(spec, rows):
        click.echo(line)


def _record(compiled: "Compiled | None") -> dict[str, Any] | None:
    return None if compiled is None else asdict(compiled)


def print_status(rows: "list[RunStatus]", as_json: bool) -> None:
    """Print how every run stands."""
    if as_json:
        print_json([vars(row) for row in rows])
        return
    console = screen()
    console.print(status_view(rows, console), highlight=False)
    for row in rows:
        for said in filter(None, (row.message, row.waits_for)):
            click.echo(f"{row.run_id}: {said}")


SPARE_STATUS = ("MFU", "attempts", "run", "of", "it/s", "measured", "loss")
"""What a narrow terminal does not show of runs, the most dispensable first; models, states and metrics stay."""


def status_view(rows: "list[RunStatus]", console: Console) -> Group:
    """Return how every run stands, as it fits the console, with the number of runs in each state below it.

    Of very many runs it shows those that are neither done nor waiting.
    """
    drawn = _drawn(rows)
    counts = Counter(row.state for row in rows)
    caption = ", ".join(f"{count} {state}" for state, count in counts.items())
    if len(drawn) < len(rows):
        caption += "; `--json` has every run"
    columns, shown = _status_columns(rows, drawn)
    alike = len({row.model for row in drawn}) < len(drawn) and not any(row.swept for row in drawn)
    spare = [heading for heading in SPARE_STATUS if not (alike and heading == "run")]  # which alone tells them apart
    return view(columns, shown, console, caption, spare)


def status_table(rows: "list[RunStatus]") -> Table:
    """Return how every run stands as a table, a row a run, with all that is known."""
    return rows_table(*_status_columns(rows, _drawn(rows)))


def _drawn(rows: "list[RunStatus]") -> "list[RunStatus]":
    if len(rows) <= MANY_ROWS:
        return rows
    return [row for row in rows if row.state not in ("done", "waiting")][:MANY_ROWS]


def _status_columns(rows: "list[RunStatus]", drawn: "list[RunStatus]") -> tuple[dict[str, str], list[dict[str, Any]]]:
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))
    swept = list(dict.fromkeys(name for row in rows for name in row.swept))
    shown = [
        asdict(row)
        | {f"metric {name}": row.metrics.get(name) for name in names}
        | {f"swept {name}": row.swept.get(name) for name in swept}
        | {"eta": None if row.eta_s is None else span(row.eta_s)}
        for row in drawn
    ]
    columns = {"model": "model", **{name: f"swept {name}" for name in swept}, "state": "state", "step": "step"}
    columns |= {"of": "steps", "it/s": "steps_per_s", "MFU": "mfu", "loss": "loss"}
    columns |= {name: f"metric {name}" for name in names}
    columns |= {"measured": "measured"} if any(row["measured"] for row in shown) else {}
    return columns | {"ETA": "eta", "attempts": "attempts", "run": "run_id"}, shown


def span(seconds: float) -> str:
    """Return a duration in two of its units, e.g. 17 s, 12 min, 3 h 20 min, 2 d 4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def print_findings(findings: "list[Finding]", as_json: bool) -> None:
    """Print what the doctor found."""
    if as_json:
        print_json([asdict(finding) for finding in findings])
        return
    for finding in findings:
        fix = f"\n         fix: {finding.fix}" if finding.fix else ""
        click.echo(f"{finding.level:8} {finding.subject}: {finding.text}{fix}")


def write_frame(frame: "pd.DataFrame", form: str, out: str | None) -> None:
    """Write a frame as a table, CSV, JSON or Parquet, to standard output or a file."""
    if form == "parquet":
        if out is None:
            raise RequestError("--format parquet needs a file: add -o results.parquet")
        frame.to_parquet(out, index=False)
    elif form == "table" and out is None:
        print_rows({name: name for name in frame.columns}, _records(frame), spare=SPARE_RESULTS)
    else:
        text = (
            frame.to_csv(index=False) if form in ("csv", "table") else frame.to_json(orient="records", indent=2) + "\n"
        )
        if out is None:
            click.echo(text, nl=False)
        else:
            with open(out, "w", encoding="utf-8", newline="") as file:
                file.write(text)


def _records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def _plan_totals(spec: "ExperimentSpec", rows: "list[PlanRow]") -> list[str]:
    train, evaluation = sum(row.train_gmacs or 0 for row in rows), sum(row.eval_gmacs for row in rows)
    lines = [
        f"{len(rows)} runs; training {train:,.0f} and evaluation {evaluation:,.0f} GMACs "
        "(multiply-accumulates / 1e9, the paper's Gflops; FLOPs are twice that)"
    ]
    if unknown := sum(row.train_gmacs is None for row in rows):
        lines.append(f"of {unknown} runs the compute is not known; say it in the spec's `cost:`")
    if all(row.hours is not None for row in rows):
        hours = sum(row.hours or 0 for row in rows)
        train_hours, eval_hours = sum(row.train_hours or 0 for row in rows), sum(row.eval_hours or 0 for row in rows)
        known = _range(sum(row.hours_low or 0 for row in rows), sum(row.hours_high or 0 for row in rows))
        lost = hours / (train_hours + eval_hours) - 1
        lines.append(
            f"{short(hours)} hours if run one after another{f' ({known})' if known else ''}: "
            f"training {short(train_hours)}, evaluation sampling {short(eval_hours)}, "
            f"{lost:.1%} on top for preemptions and other overhead"
        )
    else:
        lines.append("hours need a measured speed (launch once, or plan --calibrate) or plan.mfu in the spec")
    if all(row.usd is not None for row in rows):
        lines.append(_price_line(spec, rows))
    return lines


def _price_line(spec: "ExperimentSpec", rows: "list[PlanRow]") -> str:
    """Say the whole price, by which unit, and what that unit means for the most expensive run."""
    price = spec.plan
    by_chip = price.usd_per_chip_hour is not None
    unit, rate = ("chip-hour", price.usd_per_chip_hour) if by_chip else ("core-hour", price.usd_per_core_hour)
    dearest = max(rows, key=lambda row: row.usd or 0)
    units = (dearest.usd_per_hour or 0) / (rate or 1)
    evaluation = sum(row.eval_usd or 0 for row in rows)
    train = sum(row.usd or 0 for row in rows) - evaluation
    return (
        f"{short(train + evaluation)} USD at {rate:g} USD per {unit} (training {short(train)}, evaluation "
        f"{short(evaluation)}); "
        f"{dearest.model} on {dearest.on} holds {units:,.0f} {unit.split('-')[0]}s, "
        f"{dearest.usd_per_hour:,.0f} USD an hour"
    )


def _range(low: float | None, high: float | None) -> str:
    """Write a range, where there is one."""
    return "" if low is None or high is None or high <= low else f"{short(low)}-{short(high)}"
