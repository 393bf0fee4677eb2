"""Weights & Biases as a tracker: a run of W&B for each of ours, in W&B's offline folder or online.

Steps are a number of each row, `step`, because measurements come after later training rows and W&B's own `_step` cannot
go back; `_step` counts the rows. Each session of a run has a log of its own, as W&B's resuming leaves it.
"""

import contextlib
import netrc
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from dit_grid.experiments.store.points import Points
from dit_grid.experiments.tracking.foreign_run import ForeignRun
from dit_grid.experiments.tracking.tracker import AttemptEnd, Held, TrackedRun, TrackingError
from dit_grid.experiments.tracking.wandb_files import add_log, new_sequences, wandb_logs

FLUSH_S = 0.2
"""W&B keeps 15 seconds of rows in a buffer that dies with the process; this is how long here."""

WAIT_S = 60.0
"""How long a row may take into the log on a busy machine."""


class WandbTracker:
    """Runs of one project, with their logs below `folder`/wandb; online where W&B finds a key, unless WANDB_MODE."""

    def __init__(self, folder: Path, project: str) -> None:
        self._folder, self._project = folder, project
        self._runs: dict[str, Any] = {}
        self._next: dict[str, int] = {}
        self._read_to: dict[str, int] = {}

    def named(self, name: str) -> str:
        """The name as it is."""
        return name

    def begin(self, run: TrackedRun) -> None:
        """Open a session of the run; its rows are counted on from those of earlier sessions."""
        import wandb

        self._leave(run.key)  # a session that failed; what it was sent counts once it is written
        counted = [n for log in self._logs(run) for n in new_sequences(log)[0]]
        self._next[run.key] = max(counted, default=-1) + 1
        self._folder.mkdir(parents=True, exist_ok=True)
        mode = wandb_mode()
        self._runs[run.key] = opened = wandb.init(
            dir=str(self._folder), mode=mode, project=self._project, id=run.key, name=run.run_id,
            group=run.experiment, config=run.config, reinit="create_new",
            resume="allow" if mode == "online" else None, settings=_settings(wandb),
        )  # fmt: skip
        opened.define_metric("step")
        opened.define_metric("*", step_metric="step")

    def held(self, run: TrackedRun) -> Held:
        """What the logs of all sessions hold."""
        found = ForeignRun(self._folder, run.key, run.run_id)
        for log in self._logs(run):
            add_log(found, log)
        held: Held = {}
        for step, name, value in found.numbers():
            held.setdefault(name, {})[step] = value
        return held

    def send(self, run: TrackedRun, rows: Sequence[Points]) -> None:
        """Log each row and wait until the session's log has the last."""
        opened = self._runs[run.key]
        for row in rows:
            written = {"step": row.step, **row.values, "_timestamp": row.wall_unix_s}
            opened.log(written, step=self._next[run.key], commit=True)
            self._next[run.key] += 1
        self._wait(run, self._next[run.key] - 1)

    def tell(self, run: TrackedRun, end: AttemptEnd) -> None:
        """A line of the summary for the attempt."""
        self._runs[run.key].summary.update({f"attempts/{end.attempt}": end.outcome, "state": end.outcome})

    def end(self, run: TrackedRun, outcome: str) -> None:
        """Finish the session; only a run that is done has exit code 0."""
        self._runs.pop(run.key).finish(exit_code=0 if outcome == "done" else 1)

    def close(self) -> None:
        """Leave open sessions without a word of an end."""
        for key in list(self._runs):
            self._leave(key)

    def _leave(self, key: str) -> None:
        """Finish the session if there is one, as one that a later goes on with."""
        if opened := self._runs.pop(key, None):
            with contextlib.suppress(Exception):  # of one that has failed no more can be had
                opened.mark_preempting()
                opened.finish(exit_code=1)

    def _logs(self, run: TrackedRun) -> list[Path]:
        return [log for log in wandb_logs(self._folder) if log.stem == f"run-{run.key}"]

    def _wait(self, run: TrackedRun, last: int) -> None:
        log = Path(self._runs[run.key].dir).parent / f"run-{run.key}.wandb"
        until, name = time.monotonic() + WAIT_S, str(log)
        while time.monotonic() < until:
            found, self._read_to[name] = new_sequences(log, self._read_to.get(name, 0))
            if last in found:
                descriptor = os.open(log, os.O_RDONLY)
                os.fsync(descriptor)
                os.close(descriptor)
                return
            time.sleep(FLUSH_S / 4)
        raise TrackingError(f"{log}: W&B did not write row {last} within {WAIT_S:.0f} s")


def wandb_mode() -> Literal["online", "offline"]:
    """`online` where W&B has a key of this user's, else `offline`; WANDB_MODE goes before."""
    said = os.environ.get("WANDB_MODE")
    if said == "offline":
        return "offline"
    if said == "online":
        return "online"
    return "online" if os.environ.get("WANDB_API_KEY") or _is_in_netrc() else "offline"


def _is_in_netrc() -> bool:
    """Whether `wandb login` left a key for the server that is asked."""
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def _settings(wandb: Any) -> Any:
    """Nothing of this process is a run's: no console, code, git state or system metrics."""
    return wandb.Settings(
        console="off", disable_git=True, disable_code=True, save_code=False, silent=True, x_disable_stats=True,
        x_disable_meta=True, x_disable_machine_info=True, x_transaction_log_flush_interval=FLUSH_S,
    )  # fmt: skip
