"""What commands print: rich tables for a person, JSON for a program, from the same records."""

import json
import math
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console, Group
from rich.table import Table

from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.screen.prose import print_text
from dit_grid.orchestrator.screen.rows import print_rows as print_rows, rows_table, screen, span, view

if TYPE_CHECKING:  # a status is printed before specs and models could be imported
    import pandas as pd

    from dit_grid.orchestrator.backends.doctor import Finding
    from dit_grid.orchestrator.screen.status import RunStatus


MANY_ROWS = 200
"""A table of more rows than this is nobody's to read, and takes rich seconds to draw."""


SPARE_RESULTS = (
    "size", "patch", "batch", "tokens", "steps", "evaluated_at", "run", "it/s", "params M", "block", "state", "loss",
    "train.parametrization", "GMACs/image", "seed", "train.base_width", "heldout_loss",
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


def print_status(rows: "list[RunStatus]", as_json: bool) -> None:
    """Print how every run stands."""
    if as_json:
        print_json([vars(row) for row in rows])
        return
    console = screen()
    console.print(status_view(rows, console), highlight=False)
    for row in rows:
        for said in filter(None, (row.message, row.waits_for, row.alarm and f"ALARM: {row.alarm}")):
            print_text(f"{row.run_id}: {said}")


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


def print_findings(findings: "list[Finding]", as_json: bool) -> None:
    """Print what the doctor found."""
    if as_json:
        print_json([asdict(finding) for finding in findings])
        return
    for finding in findings:
        print_text(f"{finding.level:8} {finding.subject}: {finding.text}", inset=9)
        if finding.fix:
            click.echo(f"         fix: {finding.fix}")  # a command as a rule


def write_frame(frame: "pd.DataFrame", form: str, out: str | None) -> None:
    """Write a frame as a table, CSV, JSON or Parquet, to standard output or a file."""
    if form == "parquet":
        if out is None:
            raise RequestError("--format parquet needs a file: add -o results.parquet")
        frame.to_parquet(out, index=False)
    elif form == "table" and out is None:
        said = [name for name in frame.columns if name.startswith("diffusion.") and "objective" in frame.columns]
        print_rows(*_as_people_read(frame), spare=[*said, *SPARE_RESULTS])
    else:
        text = (
            frame.to_csv(index=False) if form in ("csv", "table") else frame.to_json(orient="records", indent=2) + "\n"
        )
        if out is None:
            click.echo(text, nl=False)
        else:
            with open(out, "w", encoding="utf-8", newline="") as file:
                file.write(text)


def _as_people_read(frame: "pd.DataFrame") -> tuple[dict[str, str], list[dict[str, Any]]]:
    """The columns, models first and runs' ids last, and the rows, with long numbers in the units of a plan."""
    names = [name for name in frame.columns if name not in ("model", "run_id")]
    order = [name for name in ("model", *names, "run_id") if name in frame.columns]
    if "params" in frame:
        frame = frame.assign(params=frame["params"] / 1e6)
    headings = {"params": "params M", "gmacs": "GMACs/image", "steps_per_s": "it/s", "run_id": "run"}
    return {headings.get(name, name): name for name in order}, _records(frame)


def _records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]
