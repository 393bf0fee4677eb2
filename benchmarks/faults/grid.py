"""The grid under attack: its launches, and each kind of fault as a method that says whether it could strike."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

from dit_grid.experiments.data.latent_shards import moments_path
from dit_grid.experiments.spec import load_spec
from dit_grid.experiments.store import NotAStoreError, Store, StoreError
from dit_grid.experiments.store.check import check
from faults.bits import flip, make_latents, rows_of
from faults.processes import end_session, session, signal_to, title

SPEC = """
name: faults
store: {store}
grid: {{model.size: [S], model.patch: [2], seed: [{seeds}]}}
sizes: {{S: {{width: 16, depth: 1, heads: 2}}}}
model: {{image_size: 4, channels: 2, classes: 3}}
data: {{name: few-latents, path: {latents}, heldout: 16}}
train: {{steps: {steps}, batch: 8, log_every: 10}}
evaluate: {{every: {steps}, settings: [{{metrics: [heldout_loss], samples: 16}}]}}
execution: {{resources: {{cpus: 1}}, checkpoint_every: {every}, steps_per_call: 10, flush_s: 0.1, max_retries: 50}}
cluster: {{settle_s: 0.3, backoff_s: 0.3, backoff_max_s: 2, lease_s: {lease}}}
"""

CLOCK = """
import os, time
_time, _off = time.time, float(os.environ.get("CLOCK_OFF_S", "0"))
time.time = lambda: _time() + _off
"""
HOUR_S = 3600.0
WITHIN_S = 400.0
"""Far beyond what any step of a round takes on a busy machine."""


class OutOfTimeError(Exception):
    """The benchmark's time is over, or something did not happen in WITHIN_S."""


class Grid:
    """The launch under attack: its spec, its store, and its launching command, started again whenever it ended."""

    def __init__(self, folder, chance, options, disk):
        folder.mkdir(parents=True)
        self.folder, self.chance, self.options, self.place = folder, chance, options, disk or folder / "place"
        self.place.mkdir(exist_ok=True)
        self.store_at, self.has_disk = self.place / "store", disk is not None
        self.latents = folder / "latents"
        make_latents(self.latents)
        self.sessions, self.launches, self.ended = [], 0, []
        self.write_spec()
        self.launch()

    def write_spec(self):
        """Write the spec of the store where it now lies."""
        seeds, o = ", ".join(map(str, range(self.options.runs))), self.options
        every = max(10, o.steps // 20 // 10 * 10)
        self.path = self.folder / "faults.yaml"
        self.path.write_text(SPEC.format(
            store=self.store_at, latents=self.latents, seeds=seeds, steps=o.steps, every=every, lease=o.lease
        ))  # fmt: skip
        self.spec = load_spec(self.path)

    def launch(self, off_s=0.0):
        """Start the launching command, with its clocks off by so much."""
        clock = self.folder / "clock"
        clock.mkdir(exist_ok=True)
        (clock / "sitecustomize.py").write_text(CLOCK)
        env = {**os.environ, "PYTHONPATH": str(clock), "CLOCK_OFF_S": str(off_s)} if off_s else dict(os.environ)
        command = [sys.executable, "-m", "dit_grid.orchestrator", "launch", str(self.path)]
        with (self.folder / "launch.log").open("a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=env, start_new_session=True)
        self.sessions.append(self.process.pid)
        self.launches += 1

    def store(self):
        """Return the store, None while there is none to be read."""
        with contextlib.suppress(NotAStoreError, StoreError, OSError):
            return Store.open(self.store_at)
        return None

    def done(self):
        """Return how many runs are done; a launching command that ended before all are is started again."""
        store = self.store()
        states = store.states() if store is not None else {}
        done = sum(run.id in states and states[run.id].outcome == "done" for run in self.spec.runs)
        if done < len(self.spec.runs) and self.process.poll() is not None:
            self.ended.append(self.process.returncode)
            self.launch()
        return done

    def said(self):
        """Return all that launches said so far."""
        return (self.folder / "launch.log").read_text()

    # Drivers, workers and hosts.

    def kill_worker(self):
        """SIGKILL the process that a run executes in."""
        return self._signal(self._workers(), signal.SIGKILL)

    def stop_worker(self):
        """Freeze the process that a run executes in for a while."""
        return self._frozen(self._workers(), self.chance.uniform(0.5, 2.0))

    def kill_driver(self):
        """SIGKILL the launch and start it again at once, beside what is left of its Ray."""
        return self._cut_off(everything=False) and self._again()

    def power_cut(self):
        """SIGKILL every process of the launch, and start it again on another boot of the machine."""
        return self._cut_off() and self._claims(boot="another boot") and self._again()

    def other_host(self):
        """SIGKILL every process of the launch, and start it again on another host."""
        return self._cut_off() and self._claims(host="elsewhere") and self._again()

    def clocks_apart(self):
        """As other_host, with a clock an hour before or after that of the first."""
        off_s = self.chance.choice((-HOUR_S, HOUR_S))
        return self._cut_off() and self._claims(host="elsewhere") and self._again(off_s)

    def freeze_driver(self):
        """Freeze the launch for longer than its lease and wake it; nobody else was there."""
        return self.process.poll() is None and self._frozen([self.process.pid], self.options.lease * 1.5)

    def replace_driver(self):
        """Freeze the launch, let a second one take over, and wake the first."""
        first, number = self.process, self._number()
        if first.poll() is not None or not number:
            return False
        os.kill(first.pid, signal.SIGSTOP)
        try:
            self.launch()
            self._wait(lambda: self._number() > number or self.process.poll() is not None, "the second to take over")
        finally:
            os.kill(first.pid, signal.SIGCONT)
        return True

    # Stores, disks and bits.

    def copy_store(self):
        """Copy the store in mid-run, as by a snapshot, and go on in the copy while the first driver still lives."""
        old, pid = self.store_at, self.process.pid
        if self.process.poll() is not None or not self.marks():
            return False
        everybody = session(pid)
        for one in everybody:
            signal_to(one, signal.SIGSTOP)
        self.store_at = self.place / f"store-{self.launches}"
        shutil.copytree(old, self.store_at)
        number = self._number()
        self.write_spec()
        self.launch()
        self._wait(lambda: self._number() > number or self.process.poll() is not None, "the copy's driver")
        end_session(pid)
        shutil.rmtree(old)
        return True

    def move_store(self):
        """Move the store away in mid-run and back; nothing may make it anew meanwhile."""
        if not self.marks():
            return False
        away = self.place / "away"
        self.store_at.rename(away)
        until = time.monotonic() + self.chance.uniform(0.5, self.options.lease * 2)
        while time.monotonic() < until:
            if self.store_at.exists():
                raise AssertionError(f"something made {self.store_at} anew: {list(self.store_at.rglob('*'))[:5]}")
            time.sleep(0.05)
        away.rename(self.store_at)
        return True

    def fill_disk(self):
        """Fill the store's disk but for a few kilobytes, for a moment."""
        if not self.has_disk:
            return False
        filler, room = self.place / "filler", self.chance.choice((0, 4, 16, 64)) << 10
        with filler.open("wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                while file.write(bytes(4096)):
                    pass
            file.truncate(max(0, file.tell() - room))
            time.sleep(self.chance.uniform(0.5, 4.0))
        filler.unlink()
        return True

    def flip_checkpoint(self):
        """Cut the launch off, flip a bit in the newest checkpoint of a run at work, and start it again.

        That of a run that is done would stay damaged, and be named by `store check`: nobody needs it any more.
        """
        if not self._at_work() or not self._cut_off():
            return False
        newest = self._at_work()
        if not newest:
            return self._again() and False
        mark = self.chance.choice(sorted(newest.values()))
        _, attempt, step, _ = mark.name.split(".")
        files = [file for file in (mark.parent / attempt / step).rglob("*") if file.is_file() and file.stat().st_size]
        if not files:
            return self._again() and False
        flip(self.chance.choice(sorted(files)), self.chance)
        return self._again()

    def flip_segment(self):
        """Flip a bit in a segment of rows: it must be named, or change no number that is read. Then flip it back."""
        return self._flip_rows("train/*/*.parquet")

    def flip_journal(self):
        """The same of the journal."""
        return self._flip_rows("events/*.parquet")

    def flip_latents(self):
        """Cut the launch off and flip a bit in a shard: no run may train on it, and it must be named."""
        if self.done() == len(self.spec.runs) or not self._cut_off():
            return False
        path = moments_path(self.latents, self.chance.randrange(2))
        whole, length = path.read_bytes(), len(self.said())
        flip(path, self.chance)
        self._again()
        self._wait(lambda: self.process.poll() is not None, "the launch to refuse the shard")
        path.write_bytes(whole)
        said = self.said()[length:]
        named = f"{path.name}: is not what was encoded" in said and "Traceback" not in said
        if self.process.returncode not in (1, 2) or not named:  # before anything starts, or by the run
            raise AssertionError(f"a damaged shard ended with {self.process.returncode}: {said}")
        return self._again()

    def _flip_rows(self, pattern):
        store = self.store()
        files = sorted(self.store_at.glob(pattern))
        if store is None or not files:
            return False
        file = self.chance.choice(files)
        whole, turn_back = file.read_bytes(), flip(file, self.chance)
        try:
            before = rows_of(whole)
            named = any(finding.is_error and file.name in finding.name for finding in check(store))
            try:
                same = rows_of(file.read_bytes()) == before
            except (StoreError, OSError, ValueError):
                same = False
            if not named and not same:
                raise AssertionError(f"a flipped bit of {file} was not found")
        finally:
            turn_back()
        return True

    def _workers(self):
        return [pid for pid in session(self.process.pid) if title(pid).startswith("ray::Worker")]

    def marks(self):
        """Return the marks of whole checkpoints."""
        return list(self.store_at.glob("checkpoints/*/whole.*"))

    def _at_work(self):
        """Return the newest mark of each run that is not done, by run."""
        store = self.store()
        done = {run for run, state in store.states().items() if state.outcome == "done"} if store is not None else set()
        return {mark.parent.name: mark for mark in sorted(self.marks()) if mark.parent.name not in done}

    def _claimed(self):
        return sorted(self.store_at.glob("control/driver-??????.json"))

    def _number(self):
        return int(self._claimed()[-1].name[7:13]) if self._claimed() else 0

    def _claims(self, **changes):
        claim = self._claimed()[-1]
        claim.write_text(json.dumps(json.loads(claim.read_text()) | changes))
        return True

    def _cut_off(self, everything=True):
        if not self._claimed():
            return False
        if everything:
            for pid in self.sessions:
                end_session(pid)
        else:
            self.process.kill()
        self.process.wait()
        return True

    def _again(self, off_s=0.0):
        self.launch(off_s)
        return True

    def _signal(self, pids, number):
        return bool(pids) and signal_to(self.chance.choice(pids), number)

    def _frozen(self, pids, seconds):
        if not pids:
            return False
        pid = self.chance.choice(pids)
        stopped = signal_to(pid, signal.SIGSTOP)
        time.sleep(seconds)
        signal_to(pid, signal.SIGCONT)
        return stopped

    def _wait(self, condition, what):
        until = time.monotonic() + WITHIN_S
        while not condition():
            if time.monotonic() > until:
                raise OutOfTimeError(f"waited {WITHIN_S:.0f} s for {what}; look at {self.folder}")
            time.sleep(0.1)


KINDS = (
    "kill_worker", "stop_worker", "kill_driver", "power_cut", "other_host", "clocks_apart", "freeze_driver",
    "replace_driver", "copy_store", "move_store", "fill_disk", "flip_checkpoint", "flip_segment", "flip_journal",
    "flip_latents",
)  # fmt: skip
