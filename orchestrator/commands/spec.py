"""`dit-grid spec …`: what a spec may say, its JSON Schema, and all that is wrong with one."""

import sys
from typing import TYPE_CHECKING

import click

from dit_grid.model.plurals import counted
from dit_grid.orchestrator.commands.options import JSON, SPEC, WRONG_REQUEST
from dit_grid.orchestrator.screen.prose import print_text

if TYPE_CHECKING:
    from dit_grid.orchestrator.commands.checked_spec import Checked


@click.group("spec")
def spec_group() -> None:
    """Check a spec, and look up what one may say.

    \b
    dit-grid spec check my.yaml
    dit-grid spec keys train.optimizer
    """


@spec_group.command()
@SPEC
@JSON
def check(spec: str, as_json: bool) -> None:
    """Say all that is wrong with a spec and can be known without a device; exit status 2 if anything is.

    Every group is checked too, and whether data, files and trainers that the runs name are here. Buckets are not looked
    into, and nothing is written.

    \b
    dit-grid spec check experiments/digits.yaml
    dit-grid spec check my.yaml --json
    """
    from dit_grid.orchestrator.commands.checked_spec import checked

    found = checked(spec)
    if as_json:
        _print_json(spec, found)
    else:
        _print_text(spec, found)
    sys.exit(WRONG_REQUEST if found.problems else 0)


def _print_json(spec: str, found: "Checked") -> None:
    from dataclasses import asdict

    from dit_grid.orchestrator.screen.tables import print_json

    problems = [asdict(one) for one in found.problems]
    print_json({"spec": spec, "ok": not problems} | found._asdict() | {"problems": problems})


def _print_text(spec: str, found: "Checked") -> None:
    for problem in found.problems:
        click.echo(str(problem), err=True)
    for note in found.notes:
        print_text(f"note: {note}", err=True)
    groups = "".join(f", {count} more with --group {name}" for name, count in found.groups.items())
    runs = f"{counted(found.runs, 'run')}{groups}"
    if not found.problems:
        click.echo(f"{spec}: {runs}; nothing is wrong")
    else:
        click.echo(f"{spec}: {counted(len(found.problems), 'thing')} wrong", err=True)


@spec_group.command()
@click.argument("key", default="")
@JSON
def keys(key: str, as_json: bool) -> None:
    """Print keys of a spec: why they are there, type, unit, default, what is allowed, whether they change a run's id.

    KEY is a key, a section, or a part of a name; without it every key is printed.

    \b
    dit-grid spec keys train.optimizer
    dit-grid spec keys lease
    """
    from dit_grid.experiments.spec.reference import matching
    from dit_grid.orchestrator.control.errors import RequestError
    from dit_grid.orchestrator.screen.tables import print_json

    found = matching(key)
    if not found:
        raise RequestError(f"no key of a spec has {key!r} in it; `dit-grid spec keys` prints all")
    if as_json:
        print_json([one._asdict() for one in found])
        return
    for one in found:
        kept = "makes another run" if one.changes_id else "no part of a run's id"
        unit = f" [{one.unit}]" if one.unit else ""
        facts = [one.type + unit, f"default {one.default}", one.allowed.replace("`", ""), kept]
        print_text(f"{one.key}: {one.why}\n    {'; '.join(filter(None, facts))}", inset=4)


@spec_group.command()
@click.option("-o", "--out", type=click.Path(dir_okay=False), help="Write to this file instead of printing.")
def schema(out: str | None) -> None:
    """Print the JSON Schema of specs, by which editors complete and check them.

    \b
    dit-grid spec schema -o spec.schema.json
    # first line of a spec: # yaml-language-server: $schema=spec.schema.json
    """
    from dit_grid.experiments.spec.schema_file import shipped_schema

    text = shipped_schema()
    if out is None:
        click.echo(text, nl=False)
        return
    with open(out, "w", encoding="utf-8") as file:
        file.write(text)
    click.echo(out)
