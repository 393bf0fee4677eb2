"""`dit-grid cancel`, `pause`, `resume` and `retry`: what a person asks of a grid from any terminal, running or not.

They only record the request in the store; the grid's driver acts on it, and so does every later launch.
"""

import click

RUNS = click.argument("runs", nargs=-1, required=True, metavar="RUN...")
WHERE = click.option("--where", metavar="WHERE", help="Spec, store or gs:// URL (default: the newest store here).")

SAID = {
    "cancel": "cancelled; `dit-grid retry` takes it back",
    "pause": "paused; `dit-grid resume` lets them go on",
    "resume": "may go on",
    "retry": "queued again",
}


@click.command()
@RUNS
@WHERE
def cancel(runs: tuple[str, ...], where: str | None) -> None:
    """Stop runs at their next checkpoint and start them no more. RUN is an id, a model, or a pattern of either.

    \b
    dit-grid cancel 'XL/*'
    dit-grid cancel s-8-3f9c2a41 --where results/digits
    """
    _ask("cancel", runs, where)


@click.command()
@RUNS
@WHERE
def pause(runs: tuple[str, ...], where: str | None) -> None:
    """Stop runs at their next checkpoint, to go on later; what they held is free for others meanwhile.

    \b
    dit-grid pause 'L/*' 'XL/*'
    """
    _ask("pause", runs, where)


@click.command()
@RUNS
@WHERE
def resume(runs: tuple[str, ...], where: str | None) -> None:
    """Let paused runs go on from their newest checkpoint.

    \b
    dit-grid resume '*'
    """
    _ask("resume", runs, where)


@click.command()
@RUNS
@WHERE
def retry(runs: tuple[str, ...], where: str | None) -> None:
    """Queue failed or cancelled runs again, from their newest checkpoint.

    \b
    dit-grid retry XL/2
    """
    _ask("retry", runs, where)


COMMANDS = (cancel, pause, resume, retry)


def _ask(what: str, patterns: tuple[str, ...], where: str | None) -> None:
    from dit_grid.experiments.store import Store
    from dit_grid.orchestrator.commands.where import runs_matching, store_of
    from dit_grid.orchestrator.control.lease import Held, Watcher
    from dit_grid.orchestrator.control.requests import ask
    from dit_grid.orchestrator.screen.status import without_pandas

    without_pandas()
    store = Store.open(store_of(where))
    found = runs_matching(store, patterns)
    ask(store.files, what, found)
    driven = isinstance(Watcher(store).look(), Held)
    when = "the running launch acts on it within seconds" if driven else "no launch is running; the next one obeys"
    click.echo(f"{', '.join(found.values())}: {SAID[what]} ({when})")
