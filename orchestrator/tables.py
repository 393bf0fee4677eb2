"""What commands print: rich tables for a person, JSON for a program, from the same records."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from dit_grid.experiments.spec import ExperimentSpec
from dit_grid.orchestrator.doctor import Finding
from dit_grid.orchestrator.errors import RequestError
from dit_grid.orchestrator.plan import PlanRow
from dit_grid.orchestrator.status import RunStatus

if TYPE_CHECKING:
    import pandas as pd


def print_json(value: Any) -> None:
    """Print `value` as JSON that any program can read."""
    click.echo(json.dumps(value, indent=2, allow_nan=False, default=str))


def print_rows(columns: dict[str, str], rows: Sequence[dict[str, Any]], caption: str = "") -> None:
    """Print rows as a table. `columns` maps a heading to a key; numbers are set right and written short."""
    table = Table(box=None, pad_edge=False, header_style="bold", caption=caption or None, caption_justify="left")
    for heading, key in columns.items():
        numeric = any(isinstance(row[key], int | float) for row in rows)
        table.add_column(heading, justify="right" if numeric else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(_short(row[key]) for key in columns.values()))
    # A pipe has no width; 80 columns would cut the last cells off.
    Console(width=None if sys.stdout.isatty() else 200).print(table, highlight=False)


def print_plan(spec: ExperimentSpec, rows: list[PlanRow], as_json: bool) -> None:
    """Print the plan's rows and their total."""
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    shown = [asdict(row) | {"train_tmacs": row.train_gmacs / 1e3, "eval_tmacs": row.eval_gmacs / 1e3} for row in rows]
    for row in shown:
        row["params_m"] = row["params"] / 1e6
    columns = {
        "model": "model", "block": "block", "params M": "params_m", "GMACs/image": "forward_gmacs", "tokens": "tokens",
        "batch": "batch", "steps": "steps", "train TMACs": "train_tmacs", "eval TMACs": "eval_tmacs", "on": "on",
        "it/s": "steps_per_s", "from": "speed_from", "hours": "hours", "usd": "usd", "run": "run_id",
    }  # fmt: skip
    print_rows(columns, shown)
    for line in _plan_totals(spec, rows):
        click.echo(line)


def print_status(rows: list[RunStatus], as_json: bool) -> None:
    """Print how every run stands."""
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    names = list(dict.fromkeys(name for row in rows for name in row.metrics))
    shown = [asdict(row) | {f"metric {name}": row.metrics.get(name) for name in names} for row in rows]
    columns = {
        "run": "run_id",
        "model": "model",
        "state": "state",
        "step": "step",
        "of": "steps",
        "it/s": "steps_per_s",
    }
    columns |= {"MFU": "mfu", "loss": "loss"} | {name: f"metric {name}" for name in names}
    columns |= {"ETA s": "eta_s", "attempts": "attempts"}
    counts = {state: sum(row.state == state for row in rows) for state in dict.fromkeys(row.state for row in rows)}
    print_rows(columns, shown, ", ".join(f"{count} {state}" for state, count in counts.items()))
    for row in rows:
        if row.message:
            click.echo(f"{row.run_id}: {row.message}")


def print_findings(findings: list[Finding], as_json: bool) -> None:
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
        print_rows({name: name for name in frame.columns}, _records(frame))
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


def _short(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _plan_totals(spec: ExperimentSpec, rows: list[PlanRow]) -> list[str]:
    train, evaluation = sum(row.train_gmacs for row in rows), sum(row.eval_gmacs for row in rows)
    lines = [
        f"{len(rows)} runs; training {train:,.0f} and evaluation {evaluation:,.0f} GMACs "
        "(multiply-accumulates / 1e9, the paper's Gflops; FLOPs are twice that)"
    ]
    if all(row.hours is not None for row in rows):
        hours = sum(row.hours or 0 for row in rows)
        lines.append(f"{hours:,.1f} hours if run one after another, evaluation sampling included")
    else:
        lines.append("hours need a measured speed (launch once) or, for slices, plan.mfu in the spec")
    if all(row.usd is not None for row in rows):
        price = spec.plan
        unit = "chip-hour" if price.usd_per_chip_hour is not None else "core-hour"
        rate = price.usd_per_chip_hour or price.usd_per_core_hour
        lines.append(f"{sum(row.usd or 0 for row in rows):,.0f} USD at {rate:g} USD per {unit}")
    return lines
