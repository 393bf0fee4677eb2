"""Runs made elsewhere, from a CSV or JSON-lines log, into a store, so that they join the same analysis.

A mapping says what each column of the store's tables is in the log: {"column": NAME} takes it from the log's row,
anything else is the same for every row. Its sections are one of `run`, at most one of `train`, any number of `evals`:

    run:   {run_id: {column: name}, model: B/4, params: 130_000_000}
    train: {step: {column: _step}, loss: {column: train/loss}}
    evals:
      - {metric: fid, step: {column: _step}, value: {column: fid50k}, samples: 50_000, sampler: ddpm}

A log row gives a train row if `step` and one more column of the log are there, an evaluation row if its step and value
are. Reading a mapping file is the caller's business.
"""

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dit_grid.experiments.store.encoding import checked_row
from dit_grid.experiments.store.errors import StoreError
from dit_grid.experiments.store.paths import checked_id
from dit_grid.experiments.store.provenance import protocol
from dit_grid.experiments.store.records import EVALS, RUNS, TRAIN, Table
from dit_grid.experiments.store.store import Store

Row = dict[str, Any]


def import_log(store: Store, log: str | Path, mapping: Mapping[str, Any]) -> list[str]:
    """Ids of the runs in the log, all of whose rows are now in the store.

    Importing a log again, or a longer version of it, replaces its rows: each import is an attempt of its own. The whole
    log is checked before anything is written. Raises StoreError with file and line of what is wrong, RunConflictError
    for a run id that is taken by a run not imported from this log.
    """
    sections = _checked(mapping)
    runs: dict[str, Row] = {}
    rows: dict[str, list[tuple[Table, Row]]] = defaultdict(list)
    for line, entry in _entries(Path(log)):
        try:
            run = checked_row(RUNS, _filled(RUNS, sections["run"], entry))
            runs.setdefault(checked_id("run id", run["run_id"]), run)
            rows[run["run_id"]] += _rows(sections, entry, run["run_id"])
        except StoreError as error:
            raise StoreError(f"{log}:{line}: {error}") from error
    for run_id, run in runs.items():
        store.add_run({"spec": json.dumps({"imported_from": Path(log).name, "run_id": run_id}), **run})
    for run_id in runs:
        attempt = store.begin_attempt(run_id, 0, {"imported_from": str(log)})
        with store.writer(attempt, rows_per_flush=10_000) as writer:
            for table, row in rows[run_id]:
                (writer.train if table is TRAIN else writer.eval)(row)
        store.end_attempt(attempt, "done", {"imported_from": str(log)})
    return list(runs)


def _checked(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping's sections, all present; StoreError for what the tables do not have or an import needs."""
    if unknown := mapping.keys() - {"run", "train", "evals"}:
        raise StoreError(f"mapping: no section {sorted(unknown)[0]!r}; allowed: run, train, evals")
    sections = {"run": mapping.get("run") or {}, "train": mapping.get("train"), "evals": mapping.get("evals") or []}
    if not isinstance(sections["evals"], list):
        raise StoreError("mapping: section 'evals' must be a list, each item one metric")
    needed = [("run", RUNS, sections["run"], ["run_id"])]
    needed += [("train", TRAIN, sections["train"], ["step"])] if sections["train"] else []
    needed += [("evals", EVALS, one, ["metric", "step", "value"]) for one in sections["evals"]]
    for name, table, section, columns in needed:
        if not isinstance(section, Mapping):
            raise StoreError(
                f"mapping: section {name!r}: got {repr(section)[:80]}; it maps columns of the store's tables"
            )
        if missing := [column for column in columns if column not in section]:
            raise StoreError(f"mapping: section {name!r} needs {missing[0]!r}")
        if strange := section.keys() - set(table.schema.names):
            raise StoreError(
                f"mapping: section {name!r}: the table {table.name!r} has no column {sorted(strange)[0]!r}"
            )
        for column, said in section.items():
            if isinstance(said, Mapping | list) and not (
                isinstance(said, Mapping) and set(said) == {"column"} and isinstance(said["column"], str)
            ):
                raise StoreError(
                    f"mapping: section {name!r}: {column}: got {repr(said)[:80]}; write {{column: NAME}} for a "
                    "column of the log, or one value for every row"
                )
    return sections


def _entries(log: Path) -> Iterator[tuple[int, Row]]:
    """(line, row) of each record of a .csv or .jsonl log; empty fields are left out."""
    try:
        with open(log, encoding="utf-8", newline="") as file:
            if log.suffix == ".csv":
                reader = csv.DictReader(file)
                for row in reader:
                    yield (
                        reader.line_num,
                        {name: value for name, value in row.items() if name and value not in ("", None)},
                    )
            elif log.suffix in (".jsonl", ".ndjson"):
                for line, text in enumerate(file, start=1):
                    if text.strip():
                        yield line, _json_object(log, line, text)
            else:
                raise StoreError(f"{log}: a log to import must be .csv or .jsonl")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StoreError(f"{log}: cannot be read ({error})") from error


def _json_object(log: Path, line: int, text: str) -> Row:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{log}:{line}: not JSON ({str(error)[:200]})") from error
    if not isinstance(row, dict):
        raise StoreError(f"{log}:{line}: a JSON object is expected, got {text.strip()[:40]!r}")
    return {name: value for name, value in row.items() if value is not None}


def _rows(sections: Mapping[str, Any], entry: Row, run_id: str) -> Iterator[tuple[Table, Row]]:
    key = {"run_id": run_id, "attempt": 1}
    if sections["train"]:
        row = _filled(TRAIN, sections["train"], entry)
        if "step" in row and any(_column(section) in entry for n, section in sections["train"].items() if n != "step"):
            yield TRAIN, checked_row(TRAIN, row | key)
    for section in sections["evals"]:
        row = _filled(EVALS, section, entry)
        if "step" in row and "value" in row:
            checked = checked_row(EVALS, {"protocol": ""} | row | key)
            said = {name: checked[name] for name in row}
            yield EVALS, checked | ({} if said.get("protocol") else {"protocol": protocol(said)})


def _column(section: Any) -> str | None:
    return section.get("column") if isinstance(section, Mapping) else None


def _filled(table: Table, section: Mapping[str, Any], entry: Row) -> Row:
    """The section's columns for one row of the log; those that the row does not have are left out."""
    row = {}
    for name, said in section.items():
        column = _column(said)
        if column is None:
            row[name] = said
        elif column in entry:
            row[name] = _parsed(table, name, entry[column])
    return row


def _parsed(table: Table, name: str, value: Any) -> Any:
    """Text of a CSV as its column's type; a number like 4e5 or 400000.0 may stand for a whole one."""
    kind = str(table.schema.field(name).type)
    if kind == "string":
        return str(value)
    try:
        number = float(value) if isinstance(value, str) else value
    except ValueError as error:
        raise StoreError(f"column {name!r} takes a number, got {value!r}") from error
    return int(number) if kind == "int64" and isinstance(number, float) and number.is_integer() else number
