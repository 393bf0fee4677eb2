"""`dit-grid store …`: inspect a results store, pack it, clean it up, and carry its tables in and out."""

import sys
from pathlib import Path
from typing import Any

import click

from dit_grid.model.plurals import counted
from dit_grid.orchestrator.commands.options import JSON, WHERE, store_named


@click.group("store")
def store_group() -> None:
    """Check, pack, clean up, export and import a results store.

    \b
    dit-grid store check results/digits
    """


@store_group.command()
@WHERE
@JSON
def check(where: str | None, as_json: bool) -> None:
    """Read every file and report what is wrong; exit status 1 if numbers are missing or cannot be trusted.

    \b
    dit-grid store check results/digits
    """
    from dataclasses import asdict

    from dit_grid.experiments.store.check import check as inspect
    from dit_grid.orchestrator.screen.tables import print_json

    store = _open(where)
    findings = inspect(store)
    errors = [finding for finding in findings if finding.is_error]
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            click.echo(f"{'error' if finding.is_error else 'note':6} {finding.name}: {finding.problem}")
        wrong, notes = counted(len(errors), "error"), counted(len(findings) - len(errors), "note")
        click.echo(f"{store.paths.root}: {wrong}, {notes}")
    sys.exit(1 if errors else 0)


@store_group.command()
@WHERE
@JSON
def compact(where: str | None, as_json: bool) -> None:
    """Pack many small files into few; safe while runs write and others read.

    \b
    dit-grid store compact results/digits
    """
    from dit_grid.experiments.store.compaction import compact as pack

    store = _open(where)
    written = pack(store)
    if as_json:
        _print({"store": store.paths.root, "written": written})
    elif written:
        click.echo(
            f"{store.paths.root}: {counted(len(written), 'packed file')} written; "
            "`dit-grid store gc` removes what they replace"
        )
    else:
        click.echo(f"{store.paths.root}: nothing to pack")


@store_group.command()
@WHERE
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option(
    "--grace",
    "grace_s",
    type=click.FloatRange(0),
    default=3600.0,
    show_default=True,
    help="Leave files younger than this, seconds.",
)
@JSON
def gc(where: str | None, dry_run: bool, grace_s: float, as_json: bool) -> None:
    """Remove files that a packed one replaced, or that a killed writer left half-made. Never a row that counts.

    \b
    dit-grid store gc results/digits --dry-run
    """
    from dit_grid.experiments.store.compaction import collect

    store = _open(where)
    removals = collect(store, dry_run=dry_run, grace_s=grace_s)
    if as_json:
        files = [{"file": removal.name, "reason": removal.reason} for removal in removals]
        _print({"store": store.paths.root, "dry_run": dry_run, "removed": files})
        return
    for removal in removals:
        click.echo(f"{removal.name}: {removal.reason}")
    one = len(removals) == 1
    verb = "would be" if dry_run else "was" if one else "were"
    said = f"{counted(len(removals), 'file')} {verb} removed" if removals else "nothing to remove"
    click.echo(f"{store.paths.root}: {said}")


@store_group.command()
@WHERE
@click.option("-o", "--out", required=True, type=click.Path(file_okay=False), help="Folder for the files.")
@click.option(
    "--format", "form", type=click.Choice(["csv", "jsonl", "parquet", "tensorboard"]), default="csv", show_default=True
)
@JSON
def export(where: str | None, out: str, form: str, as_json: bool) -> None:
    """Write the four tables, each number once, as CSV, JSON lines or Parquet, or the curves for TensorBoard.

    \b
    dit-grid store export results/digits -o exported --format parquet
    dit-grid store export results/digits -o exported --format jsonl
    dit-grid store export results/digits -o curves --format tensorboard
    """
    from dit_grid.experiments.store.export import export as write

    store = _open(where)
    files = write(store, out, form)
    if as_json:
        _print({"store": store.paths.root, "format": form, "files": list(map(str, files))})
        return
    for path in files:
        click.echo(str(path))
    click.echo(f"{store.paths.root}: {counted(len(files), 'file')} written", err=True)


@store_group.command("import")
@click.argument("log", type=click.Path())
@click.argument("where")
@click.option("--mapping", type=click.Path(dir_okay=False), help="YAML: table columns from columns of the log.")
@JSON
def import_command(log: str, where: str, mapping: str | None, as_json: bool) -> None:
    """Bring runs made elsewhere into a store, so that they join the same analysis.

    WHERE is the store, made if it is not there, or a spec that names it.

    \b
    dit-grid store import wandb results/other                W&B's folder, or one run's
    dit-grid store import mlruns results/other               MLflow's folder, SQLite database, or server (http://…)
    dit-grid store import runs results/other                 TensorBoard's event files
    dit-grid store import other.csv results/other --mapping mapping.yaml

    A tracker's runs need no mapping for what is obvious; one may still rename. A log (CSV, JSON lines) needs one. A
    model named as the paper's (model: B/4) needs no more: shape, parameters and compute follow. Everything is checked
    before anything is written; docs/store.md has a mapping.
    """
    from dit_grid.experiments.store import Store
    from dit_grid.experiments.store.importing import write_log

    parsed, place = _parsed(log, _mapping(mapping) if mapping else None), store_named(where)
    runs = write_log(Store.create(place), parsed)
    if as_json:
        _print({"store": place, "log": log, "runs": runs, "notes": list(parsed.notes)})
        return
    for note in parsed.notes:
        click.echo(note)
    click.echo(f"{counted(len(runs), 'run')} imported into {place}: {', '.join(runs)}")


def _parsed(log: str, mapping: Any) -> Any:
    """What the log, or a tracker's folder, database or server, holds, checked."""
    from dit_grid.experiments.store.importing import read_log
    from dit_grid.experiments.tracking import is_tracked, read_tracked
    from dit_grid.orchestrator.control.errors import RequestError

    if is_tracked(log):
        return read_tracked(log, mapping)
    if mapping is None and Path(log).is_file():
        raise RequestError(f"{log}: a log needs --mapping FILE, which says what its columns are (docs/store.md); runs "
                           "of W&B, MLflow and TensorBoard need none: name their folder or database")  # fmt: skip
    return read_log(Path(log), mapping or {})


def _print(record: dict[str, Any]) -> None:
    from dit_grid.orchestrator.screen.tables import print_json

    print_json(record)


def _open(where: str | None) -> Any:
    from dit_grid.experiments.store import Store

    return Store.open(store_named(where))


def _mapping(path: str) -> Any:
    from dit_grid.experiments.spec.source import read_yaml

    return read_yaml(Path(path)).plain()
