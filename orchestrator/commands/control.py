"""`dit-grid cancel`, `pause`, `resume` and `retry`: what a person asks of a grid from any terminal, running or not.

They only record the request in the store; the grid's driver acts on it, and so does every later launch.
"""

from typing import TYPE_CHECKING

import click

from dit_grid.orchestrator.commands.options import JSON, OLD_WHERE
from dit_grid.orchestrator.screen.prose import print_text

if TYPE_CHECKING:
    from dit_grid.experiments.store import Store

WORDS = click.argument("words", nargs=-1, required=True, metavar="[WHERE] RUN...")

SAID = {
    "cancel": "cancelled; `dit-grid retry` takes it back",
    "pause": "paused; `dit-grid resume` lets them go on",
    "resume": "may go on",
    "retry": "queued again",
}


@click.command()
@WORDS
@OLD_WHERE
@JSON
def cancel(words: tuple[str, ...], where: str | None, as_json: bool) -> None:
    """Stop runs at their next checkpoint and start them no more. RUN is an id, a model, or a pattern of either.

    WHERE is a spec, a store or a gs:// URL; without it the newest store here is meant.

    \b
    dit-grid cancel 'XL/*'
    dit-grid cancel results/digits s-8-3f9c2a41
    """
    _ask("cancel", words, where, as_json)


@click.command()
@WORDS
@OLD_WHERE
@JSON
def pause(words: tuple[str, ...], where: str | None, as_json: bool) -> None:
    """Stop runs at their next checkpoint, to go on later; what they held is free for others meanwhile.

    \b
    dit-grid pause 'L/*' 'XL/*'
    """
    _ask("pause", words, where, as_json)


@click.command()
@WORDS
@OLD_WHERE
@JSON
def resume(words: tuple[str, ...], where: str | None, as_json: bool) -> None:
    """Let paused runs go on from their newest checkpoint.

    \b
    dit-grid resume '*'
    """
    _ask("resume", words, where, as_json)


@click.command()
@WORDS
@OLD_WHERE
@JSON
def retry(words: tuple[str, ...], where: str | None, as_json: bool) -> None:
    """Queue failed or cancelled runs again, from their newest checkpoint.

    \b
    dit-grid retry XL/2
    """
    _ask("retry", words, where, as_json)


COMMANDS = (cancel, pause, resume, retry)


def _ask(what: str, words: tuple[str, ...], where: str | None, as_json: bool) -> None:
    from dit_grid.experiments.store import Store
    from dit_grid.orchestrator.commands.where import parted, runs_matching, store_of
    from dit_grid.orchestrator.control.errors import RequestError
    from dit_grid.orchestrator.control.lease import Held, Watcher
    from dit_grid.orchestrator.control.requests import ask
    from dit_grid.orchestrator.screen.status import without_pandas
    from dit_grid.orchestrator.screen.tables import print_json

    without_pandas()
    place, patterns = parted(words, where)
    if not patterns:
        raise RequestError(f"{what} which runs? Name ids, models or patterns such as 'XL/*'; see `dit-grid status`")
    store = Store.open(store_of(place))
    found = runs_matching(store, patterns)
    unchanged = _unchanged(store, what, found)
    changed = {run_id: model for run_id, model in found.items() if run_id not in unchanged}
    if changed:
        ask(store.files, what, changed)
    driven = isinstance(Watcher(store).look(), Held)
    if as_json:
        print_json({"store": store.paths.root, "asked": what, "runs": list(changed), "unchanged": unchanged,
                    "launch_is_running": driven})  # fmt: skip
        return
    for run_id, why in unchanged.items():
        print_text(f"{store.paths.root}: {found[run_id]} ({run_id}) {why}; nothing to {what}")
    if changed:
        named = ", ".join(f"{model} ({run_id})" for run_id, model in changed.items())
        when = "the running launch acts on it within seconds" if driven else "no launch is running; the next one obeys"
        print_text(f"{store.paths.root}: {named}: {SAID[what]} ({when})")


def _unchanged(store: "Store", what: str, found: dict[str, str]) -> dict[str, str]:
    """Run id -> why the request would change nothing about it."""
    from dit_grid.orchestrator.control.requests import CANCEL, PAUSE, asked, standing

    states, stands = store.states(), standing(asked(store.files))
    begun = {run_id for run_id in found if run_id in states}
    said: dict[str, str] = {run_id: "is done" for run_id in begun if states[run_id].outcome == "done"}
    for run_id in found.keys() - said.keys():
        stood = stands.get(run_id)
        if (what, stood) in (("cancel", CANCEL), ("pause", PAUSE)):
            said[run_id] = {CANCEL: "is cancelled already", PAUSE: "is paused already"}[stood or ""]
        elif what == "resume" and stood is None:
            said[run_id] = "is not paused"
        elif what == "retry" and stood is None and run_id not in begun:
            said[run_id] = "has not begun and is queued"
    return {run_id: said[run_id] for run_id in found if run_id in said}
