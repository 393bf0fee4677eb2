"""`dit-grid track`: a store's rows in W&B, MLflow or TensorBoard, while a launch goes on and after it.

What is here reads arguments and starts processes; the mirror is `dit_grid.experiments.tracking`.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from dit_grid.orchestrator.commands.options import DONE, SOME_FAILED, WHERE, store_named
from dit_grid.orchestrator.screen.prose import print_text

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from dit_grid.experiments.spec.track import TrackSpec
    from dit_grid.experiments.store import Store
    from dit_grid.experiments.tracking import Mirror

TRACKER = click.Choice(["wandb", "mlflow", "tensorboard"])
LOOK_EVERY_S = 1.0
LAST_WORDS_S = 120.0
"""How long a launch that has ended waits for its mirror; what is missing then, the same command brings later."""
TERM_S = 5.0
"""And then for one that was told to end: a tracker's package may wait in its own end for a server that is gone."""


@click.command()
@WHERE
@click.option("--to", "names", multiple=True, type=TRACKER, help="Which tracker; the spec's own if left out.")
@click.option("--project", help="W&B's project or MLflow's experiment; the spec's name if left out.")
@click.option("--folder", help="Where local files go; tracking/ in the store if left out.")
@click.option("--uri", help="MLflow's tracking URI; MLFLOW_TRACKING_URI or a local database if left out.")
@click.option("--beside", hidden=True, help="Of a launch: trackers as JSON, mirrored until it closes our input.")
def track(
    where: str | None, names: tuple[str, ...], project: str | None, folder: str | None, uri: str | None,
    beside: str | None,
) -> None:  # fmt: skip
    """Mirror a store's rows to W&B, MLflow or TensorBoard: each once, live while a launch goes on, or afterwards.

    \b
    dit-grid track --to tensorboard
    dit-grid track results/digits --to wandb --project digits
    dit-grid track experiments/digits.yaml --to mlflow --uri http://localhost:5000

    It may be killed at any time; the same command goes on where it was. Keys and passwords come from the environment.
    W&B is written offline (`wandb sync` uploads it) unless it finds a key; WANDB_MODE says otherwise. Needs the extra
    of the tracker's name.
    """
    from dit_grid.experiments.spec.track import TrackSpec
    from dit_grid.orchestrator.commands.where import name_of

    if beside is not None:
        asked = [TrackSpec.model_validate(one) for one in json.loads(beside)]
        launched = _Launch()
        failed = _mirror(store_named(where), asked, launched.is_over, lambda: not launched.is_over())
    else:
        store = store_named(where)
        asked = _asked(where, names, {"project": project, "folder": folder, "uri": uri})
        asked = [_in_project(one, name_of(where)) for one in asked]
        failed = _mirror(store, asked, _nobody_drives(store), lambda: False)
    sys.exit(SOME_FAILED if failed else DONE)


@contextmanager
def mirrored(store: str, asked: "Iterable[TrackSpec]", name: str | None = None) -> Iterator[None]:
    """Mirror a store, made if there is none, from a process of its own, which ends soon after this one.

    `name` stands for a project that nobody named: a store just made does not know whose it is. The process can die
    without hurting the launch. Raises TrackingError where a package is missing, before anything is made.
    """
    from dit_grid.experiments.store import Store
    from dit_grid.experiments.tracking import TrackingError, missing_packages, tracking_folder

    asked = [_in_project(one, name) for one in asked]
    if missing := missing_packages(asked):
        raise TrackingError(missing)
    Store.create(store)
    said = json.dumps([one.model_dump(exclude_none=True) for one in asked])
    log = tracking_folder(store) / "mirror.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w", encoding="utf-8") as words:
        child = subprocess.Popen(
            [sys.executable, "-m", "dit_grid.orchestrator", "track", store, "--beside", said],
            stdin=subprocess.PIPE, stdout=words, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    print_text(f"Mirrored to {', '.join(one.to for one in asked)} by a process of its own; its words: {log}")
    try:
        yield
    finally:
        _end(child)
        click.echo(log.read_text("utf-8").strip())
        if child.returncode not in (DONE, SOME_FAILED):
            print_text(f"the mirror ended before the launch did (exit status {child.returncode}); no run was hurt, and "
                       f"`dit-grid track {store}{''.join(f' --to {one.to}' for one in asked)}` goes on")  # fmt: skip


def _in_project(one: "TrackSpec", name: str | None) -> "TrackSpec":
    """The same in the project of that name where it is in none; TensorBoard has none."""
    is_unnamed = one.project is None and one.to != "tensorboard"
    return one.model_copy(update={"project": name}) if is_unnamed else one


def _end(child: "subprocess.Popen[bytes]") -> None:
    if child.stdin:
        child.stdin.close()
    try:
        child.wait(LAST_WORDS_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        child.terminate()
        try:
            child.wait(TERM_S)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            child.kill()
            child.wait()


class _Launch:
    """The launch that this process was started by; it is over once it closes our input, in any way."""

    def __init__(self) -> None:
        self._over = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def is_over(self) -> bool:
        """Whether it is; then the store has all that it will have."""
        return self._over.is_set()

    def _listen(self) -> None:
        sys.stdin.buffer.read()
        self._over.set()


def _asked(where: str | None, names: tuple[str, ...], said: dict[str, str | None]) -> "list[TrackSpec]":
    from pydantic import ValidationError

    from dit_grid.experiments.spec.track import TrackSpec
    from dit_grid.orchestrator.control.errors import RequestError

    given = {key: value for key, value in said.items() if value is not None}
    if not names:
        return _of_spec(where, given)
    try:
        return [TrackSpec.model_validate({"to": name, **given}) for name in names]
    except ValidationError as error:
        raise RequestError("; ".join(_with_its_option(one) for one in error.errors())) from None


def _with_its_option(mistake: "ErrorDetails") -> str:
    said = mistake["msg"].removeprefix("Value error, ")
    return f"--{mistake['loc'][0]}: {said}" if mistake["loc"] else said


def _of_spec(where: str | None, given: dict[str, str]) -> "list[TrackSpec]":
    from dit_grid.experiments.spec import load_spec
    from dit_grid.orchestrator.control.errors import RequestError

    is_spec = where is not None and where.endswith((".yaml", ".yml"))
    asked = list(load_spec(where).track) if is_spec and where else []
    if not asked or given:
        raise RequestError("no tracker is named; say --to wandb, mlflow or tensorboard, or name a spec with `track:`")
    return asked


def _nobody_drives(store: str) -> Callable[[], bool]:
    from dit_grid.experiments.store import Store
    from dit_grid.orchestrator.control.lease import Held, Watcher

    watcher = Watcher(Store.open(store))
    return lambda: not isinstance(watcher.look(), Held)


def _mirror(
    where: str, asked: "list[TrackSpec]", is_over: Callable[[], bool], wait: Callable[[], bool]
) -> bool:  # fmt: skip
    """Mirror until it is over and say how it went; return whether some tracker is behind."""
    from dit_grid.experiments.store import Store
    from dit_grid.experiments.tracking import Mirror, address, trackers_of, tracking_folder

    store, base = Store.open(where), tracking_folder(where)
    name = _experiment(store)
    for one in asked:
        click.echo(f"{where}: to {one.to}, at {address(one, base)}")
    mirror = Mirror(store, trackers_of(asked, name, base), base / "cursors", click.echo)
    with mirror.alone(wait):
        _follow(mirror, is_over)
        for line in mirror.summary():
            click.echo(line)
    return mirror.is_behind


def _experiment(store: "Store") -> str:
    """The name that stands for a project that nobody named: of the spec that the runs are of, else the store's own."""
    named = [row["experiment"] for row in store.runs(columns=["experiment"]).to_pylist() if row["experiment"]]
    return named[0] if named else store.paths.root.rstrip("/").rpartition("/")[2]


def _follow(mirror: "Mirror", is_over: Callable[[], bool]) -> None:
    """Poll until it is over, and once more, because rows may have come since the last look."""
    while True:
        last = is_over()
        mirror.poll(last)
        if last:
            return
        time.sleep(LOOK_EVERY_S)


COMMANDS = (track,)
