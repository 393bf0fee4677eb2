"""`dit-grid doctor`: what this machine and a cluster can do, and what is missing."""

import sys

import click

from dit_grid.orchestrator.commands.options import DONE, JSON, SOME_FAILED


@click.command()
@click.option("--address", help="Also look at the Ray cluster at this address.")
@JSON
def doctor(address: str | None, as_json: bool) -> None:
    """Say what this machine and cluster can do, what is missing, and the command that fixes it.

    \b
    dit-grid doctor
    dit-grid doctor --address auto
    """
    from dit_grid.orchestrator.backends.doctor import examine
    from dit_grid.orchestrator.screen.tables import print_findings

    findings = examine(address)
    print_findings(findings, as_json)
    sys.exit(SOME_FAILED if any(finding.level == "problem" for finding in findings) else DONE)


COMMANDS = (doctor,)
