"""`dit-grid status` and `logs`: how runs stand, and what they printed, read from the store alone."""

import time
from dataclasses import replace

import click

from dit_grid.orchestrator.commands.options import JSON, WHERE, store_named
from dit_grid.orchestrator.screen.prose import print_text


@click.command()
@WHERE
@JSON
@click.option("--watch", is_flag=True, help="Look again every two seconds until interrupted.")
def status(where: str | None, as_json: bool, watch: bool) -> None:
    """Show how every run stands: state, step, speed, loss, metrics, time to go; and an early alarm about any whose
    training loss left the curve of its peers, which 1 % of healthy runs do (with three peers 1.5 %). Of slices it says
    what was billed and held.

    \b
    dit-grid status
    dit-grid status experiments/digits.yaml --watch
    dit-grid status results/digits --json
    """
    from dit_grid.experiments.store import Store
    from dit_grid.orchestrator.advice.alarm import alarms
    from dit_grid.orchestrator.screen.notices import plain_warnings
    from dit_grid.orchestrator.screen.status import driver_line, read_status, spent_line, without_pandas
    from dit_grid.orchestrator.screen.tables import print_status

    without_pandas()
    store = Store.open(store_named(where))
    while True:
        if watch and not as_json:
            click.clear()
        with plain_warnings():
            rows = read_status(store)
            looked = alarms(store, [row.run_id for row in rows if row.state not in ("done", "waiting")])
        said = {one.run_id: str(one).removeprefix(f"{one.run_id} ") for one in looked.left}
        print_status([replace(row, alarm=said[row.run_id]) if row.run_id in said else row for row in rows], as_json)
        if not as_json:
            print_text(f"{store.paths.root}: {driver_line(store)}")
            if spent := spent_line(store):
                print_text(spent)
            if looked.silence:
                print_text(looked.silence)
        if not watch:
            return
        time.sleep(2.0)


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[WHERE] RUN")
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is added.")
@click.option("--rank", type=click.IntRange(0), default=0, help="Of a run on several hosts, which process's log.")
@click.option("--attempt", type=click.IntRange(1), help="An earlier attempt's log instead of the newest's.")
def logs(words: tuple[str, ...], follow: bool, rank: int, attempt: int | None) -> None:
    """Print a run's log, or the traceback that ended it.

    RUN is a run id, the beginning of one, or a model such as XL/2.

    \b
    dit-grid logs XL/2
    dit-grid logs results/digits xl-2-3f9c -f
    dit-grid logs XL/2 --rank 3 --attempt 1
    """
    from dit_grid.experiments.store import Store
    from dit_grid.orchestrator.commands.where import parted
    from dit_grid.orchestrator.control.errors import RequestError
    from dit_grid.orchestrator.screen.logs import follow_log, print_log

    where, runs = parted(words)
    if len(runs) != 1:
        raise RequestError(f"got {' '.join(words)}; name one run, e.g. XL/2, and, if it is not the newest, its store")
    store, run = Store.open(store_named(where)), runs[0]
    (follow_log if follow else print_log)(store, run, attempt, rank)


COMMANDS = (
    status,
    logs,
)
