"""Runs made elsewhere, from a CSV or JSON-lines log, into a store, so that they join the same analysis.

A mapping says what each column of the store's tables is in the log: {"column": NAME} takes it from the log's row,
anything else is the same for every row. Its sections are one of `run`, at most one of `train`, any number of `evals`:

    run:   {run_id: {column: name}, model: B/4, params: 130_000_000}
    train: {step: {column: _step}, loss: {column: train/loss}}
    evals:
      - {metric: fid, step: {column: _step}, value: {column: fid50k}, samples: 50_000, sampler: ddpm}

A log row gives a train row if `step` and one more column of the log are there, an evaluation row if its step and value
are. What the name of a paper's model says of its shape and costs is filled in (`dit_grid.model.named`). Reading a
mapping file is the caller's business, reading the log that of `log_files`.
"""

import difflib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dit_grid.experiments.store.checked_rows import checked_row
from dit_grid.experiments.store.errors import RunConflictError, StoreError
from dit_grid.experiments.store.log_files import LogFile, Row, read_log_file
from dit_grid.experiments.store.paths import checked_id
from dit_grid.experiments.store.provenance import protocol
from dit_grid.experiments.store.records import EVALS, RUNS, TRAIN, Table
from dit_grid.experiments.store.store import Store
from dit_grid.model.named import derived_facts


@dataclass(frozen=True)
class ImportedLog:
    """A log as checked rows of the store's tables: run id -> what the mapping says of it, and its rows.

    `notes` are lines for a person: what was taken from the paper, what is unknown and what that costs.
    """

    log: Path | str
    said: dict[str, Row]
    facts: dict[str, Row]
    rows: dict[str, list[tuple[Table, Row]]]
    notes: tuple[str, ...]
    outcomes: Mapping[str, str] = field(default_factory=dict)
    """How a run ended, where the log says so; else it counts as done."""


def import_log(store: Store, log: str | Path, mapping: Mapping[str, Any]) -> list[str]:
    """Ids of the runs in the log, all of whose rows are now in the store; see `read_log` and `write_log`."""
    return write_log(store, read_log(log, mapping))


def read_log(log: str | Path, mapping: Mapping[str, Any]) -> ImportedLog:
    """The whole log, checked; nothing is written.

    Raises StoreError with file and line of what is wrong, for a mapped column that the log does not have, for a log
    that gives no row, and for a run that is said to be two things.
    """
    return parsed_log(read_log_file(Path(log)), mapping)


def parsed_log(file: LogFile, mapping: Mapping[str, Any]) -> ImportedLog:
    """The rows of a log that is read already, checked; raises as `read_log` does."""
    log, sections = file.path, _checked(mapping)
    _check_columns(file, sections)
    said: dict[str, Row] = {}
    rows: dict[str, list[tuple[Table, Row]]] = defaultdict(list)
    for line, entry in file.rows:
        try:
            run = checked_row(RUNS, _filled(RUNS, sections["run"], entry))
            run_id = checked_id("run id", run["run_id"])
            said[run_id] = _joined(said.get(run_id, {}), run)
            rows[run_id] += _rows(sections, entry, run_id)
        except StoreError as error:
            raise StoreError(f"{log}:{line}: {error}") from error
    if not any(rows.values()):
        raise StoreError(f"{log}: none of its {len(file.rows)} rows has a step and a value that the mapping names")
    derived = {run_id: derived_facts(run) for run_id, run in said.items()}
    empty = [f"{run_id}: no row of the log has a step and a value" for run_id in said if not rows[run_id]]
    notes = _grouped({run_id: _note(said[run_id], *derived[run_id][1:]) for run_id in said})
    facts = {run_id: found.facts for run_id, found in derived.items()}
    return ImportedLog(log, said, facts, dict(rows), (*empty, *notes))


def write_log(store: Store, parsed: ImportedLog) -> list[str]:
    """Ids of the runs, all of whose rows are now in the store.

    Importing a log again, or a longer version of it, replaces its rows: each import is an attempt of its own. Raises
    RunConflictError, before anything is written, for a run id that is taken by a run not imported from this log, or of
    which other facts are known.
    """
    runs = {i: {"spec": _provenance(parsed.log, i), **run} for i, run in parsed.said.items()}
    _check_conflicts(store, runs)
    for run_id, run in runs.items():
        store.add_run(parsed.facts[run_id] | run)
    for run_id in runs:
        attempt = store.begin_attempt(run_id, 0, {"imported_from": str(parsed.log)})
        with store.writer(attempt, rows_per_flush=10_000) as writer:
            for table, row in parsed.rows[run_id]:
                (writer.train if table is TRAIN else writer.eval)(row)
        store.end_attempt(attempt, parsed.outcomes.get(run_id, "done"), {"imported_from": str(parsed.log)})
    return list(runs)


def _provenance(log: Path | str, run_id: str) -> str:
    return json.dumps({"imported_from": Path(log).name, "run_id": run_id})


def _check_conflicts(store: Store, runs: Mapping[str, Row]) -> None:
    """Raise for a run that the store has as something else: what is known of a run never changes."""
    there = {row["run_id"]: row for row in store.runs(set(runs) & set(store.run_ids())).to_pylist()}
    for run_id, row in there.items():
        if runs[run_id]["spec"] != row["spec"]:
            raise RunConflictError(f"run {run_id}: already in {store.paths.root} with another spec "
                                   f"({str(row['spec'])[:80]}); use another store or another run id")  # fmt: skip
        for name, value in runs[run_id].items():
            if row[name] != value:
                raise RunConflictError(f"run {run_id}: already in {store.paths.root} with {name} {row[name]}, and now "
                                       f"said to have {value}; use another store or another run id")  # fmt: skip


def _joined(known: Row, run: Row) -> Row:
    for name, value in run.items():
        if known.get(name, value) != value:
            raise StoreError(f"run {run['run_id']} has {name} {value!r} here and {known[name]!r} in a row before")
    return known | run


def _grouped(notes: Mapping[str, tuple[str, ...]]) -> list[str]:
    """A line a note with the runs that it is about, of many the first."""
    about: dict[str, list[str]] = defaultdict(list)
    for run_id, lines in notes.items():
        for line in lines:
            about[line].append(run_id)
    return [f"{_first(ids)}: {line}" for line, ids in about.items()]


def _first(ids: list[str], shown: int = 4) -> str:
    return ", ".join(ids[:shown]) + (f" and {len(ids) - shown} more" if len(ids) > shown else "")


def _note(said: Row, assumed: Row, why: str) -> tuple[str, ...]:
    """What a person should know of a run that does not say everything."""
    lines = []
    if assumed and not {"params", "tokens", "forward_macs"} <= said.keys():
        taken = ", ".join(f"{name} {value}" for name, value in assumed.items())
        lines.append(f"taken as the paper's model: {taken}; say them in `run` where they differ")
    if why and not {"params", "tokens", "forward_macs"} <= said.keys():
        lines.append(f"no law and no compute: {why}")
    if "batch" not in said:
        lines.append("no training compute: batch is not said")
    return tuple(lines)


def _checked(mapping: Any) -> dict[str, Any]:
    """The mapping's sections, all present; StoreError for what the tables do not have or an import needs."""
    if not isinstance(mapping, Mapping):
        raise StoreError("mapping: must have the sections run, train and evals")
    if unknown := [name for name in mapping if name not in ("run", "train", "evals")]:
        raise StoreError(f"mapping: no section {unknown[0]!r}; allowed: run, train, evals")
    sections = {"run": mapping.get("run") or {}, "train": mapping.get("train"), "evals": mapping.get("evals") or []}
    if not isinstance(sections["evals"], list):
        raise StoreError("mapping: section 'evals' must be a list, each item one metric")
    needed = [("run", RUNS, sections["run"], ["run_id"])]
    needed += [("train", TRAIN, sections["train"], ["step"])] if sections["train"] else []
    needed += [("evals", EVALS, one, ["metric", "step", "value"]) for one in sections["evals"]]
    for name, table, section, columns in needed:
        _check_section(name, table, section, columns)
    return sections


def _check_section(name: str, table: Table, section: Any, needed: list[str]) -> None:
    if not isinstance(section, Mapping):
        raise StoreError(
            f"mapping: section {name!r} must map columns of the table {table.name!r}, got {_short(section)}"
        )
    if missing := [column for column in needed if column not in section]:
        raise StoreError(f"mapping: section {name!r} needs {missing[0]!r}")
    if strange := [str(column) for column in section if column not in table.schema.names]:
        raise StoreError(f"mapping: section {name!r}: the table {table.name!r} has no column {strange[0]!r}")
    for column, said in section.items():
        if isinstance(said, list) or (isinstance(said, Mapping) and not _is_column(said)):
            raise StoreError(f"mapping: {name}.{column}: got {_short(said)}; write {{column: NAME}} for a column of "
                             "the log, or one value for every row")  # fmt: skip


def _short(said: Any) -> str:
    return repr(said)[:80]


def _is_column(said: Mapping[str, Any]) -> bool:
    return set(said) == {"column"} and isinstance(said["column"], str)


def _check_columns(file: LogFile, sections: Mapping[str, Any]) -> None:
    """Raise StoreError for a mapped column that the log does not have; of JSON lines, one that no row has."""
    named = {"run": [sections["run"]], "train": [sections["train"] or {}], "evals": sections["evals"]}
    for name, entries in named.items():
        for column, said in (item for entry in entries for item in entry.items()):
            wanted = _column(said)
            if wanted is not None and wanted not in file.columns:
                there = f"{_near(wanted, file.columns)}; it has {', '.join(map(repr, file.columns))}"
                raise StoreError(
                    f"{file.path}: no column {wanted!r}, which the mapping names as {name}.{column}{there}"
                )


def _near(wanted: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(wanted, names, n=3)
    return f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""


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
