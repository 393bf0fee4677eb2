"""`dit-grid init`: a first spec, with comments, that runs; nothing that is there is touched."""

from pathlib import Path

import click

from dit_grid.orchestrator.commands.options import JSON

KINDS = ("digits", "images", "csv", "torch")


@click.command()
@click.option(
    "--from", "kind", type=click.Choice(KINDS), default="digits", show_default=True, help="What to start from."
)
@click.argument("source", required=False, metavar="[FOLDER|FILE]")
@click.option("-o", "--out", type=click.Path(dir_okay=False), help="The spec to write (default: named by its source).")
@JSON
def init(kind: str, source: str | None, out: str | None, as_json: bool) -> None:
    """Write a commented spec that runs, and the JSON Schema by which editors complete it. Nothing is overwritten.

    \b
    dit-grid init                              scikit-learn's digits, minutes on two cores
    dit-grid init --from images photos         your pictures, photos/CLASS/IMAGE
    dit-grid init --from csv table.csv         your table: the last column of numbers from the others, in NumPy
    dit-grid init --from torch -o mine.yaml    your own trainer, in PyTorch
    """
    from dit_grid.experiments.spec.schema_file import shipped_schema
    from dit_grid.experiments.starting import first_files, write_new
    from dit_grid.orchestrator.screen.tables import print_json

    files = first_files(kind, source, Path(out) if out else None)
    written = write_new(files, shipped_schema())
    spec = next(iter(files))
    if as_json:
        print_json({"spec": str(spec), "written": list(map(str, written))})
        return
    click.echo(f"wrote {', '.join(map(str, written))}")
    click.echo(f"next: dit-grid spec check {spec}; dit-grid launch {spec}")


COMMANDS = (init,)
