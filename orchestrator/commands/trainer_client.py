"""`dit-grid trainer-client`: the file that a trainer in another environment imports to speak with its run."""

from pathlib import Path

import click


@click.command("trainer-client")
@click.option("-o", "--out", type=click.Path(dir_okay=False), help="Write it to this file instead of printing it.")
def trainer_client(out: str | None) -> None:
    """Print the file that a trainer without dit-grid in its environment imports; it needs only Python 3.9.

    \b
    dit-grid trainer-client -o dit_grid_run.py

    Put it beside the trainer, and there: from dit_grid_run import current_run
    """
    from dit_grid.experiments.trainers import client

    text = Path(str(client.__file__)).read_text(encoding="utf-8")
    if out is None:
        click.echo(text, nl=False)
    else:
        Path(out).write_text(text, encoding="utf-8")


COMMANDS = (trainer_client,)
