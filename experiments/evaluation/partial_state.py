"""The state of an evaluation under way, kept in the store so that the next process goes on from it, bit for bit.

Samples depend on their number alone, and sums are kept as they stand, so nothing shows where it was interrupted. What
is summed is not known here, and finished rows are written by others.
"""

import contextlib
import hashlib
import io
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from dit_grid.experiments.metrics.stopwatch import Stopwatch
from dit_grid.experiments.store import StorageError, Store, StorePaths
from dit_grid.experiments.store.partials import Partial, partials_of
from dit_grid.experiments.training import process_group
from dit_grid.experiments.training.context import code_sha256, versions

SAVE_EVERY_S = 300.0
"""Most work, plus one chunk, that a process killed without warning loses. The features of 50,000 samples (476 MB) were
seen to take 1.5 to 3.4 s to save on a disk: a hundredth of this."""

KEPT = 2
"""States of one process that stay: while it has written its newest, another may still be at the one before."""

State = dict[str, np.ndarray]
Row = dict[str, Any]


class StoppedError(Exception):
    """An evaluation was asked to stop; its state is in the store if it could be written."""


class Accumulated(Protocol):
    """What one process has gathered of a setting's samples."""

    def state(self) -> State | None:
        """All of it as arrays; None where it is of no use, because something failed."""

    def go_on(self, state: State) -> None:
        """Be as the process was that gave this state."""


class Measured(NamedTuple):
    """Of one checkpoint of a run: the attempt that wrote it, and its step."""

    store: Store
    run_id: str
    attempt: int
    step: int


@dataclass
class _Under:
    """The measurement under way: how many of its samples are drawn, and what is known of them."""

    start: int
    state: State
    watch: dict[str, Any]


class PartialEvaluation:
    """One evaluation of a checkpoint, its state saved after a chunk of samples when `every_s` have passed or it is to
    stop. Without `measured` nothing is kept and nobody stops it.

    In a gang each process saves its own part, all after the same chunk, and all go on from the newest that all have.
    """

    def __init__(
        self, measured: Measured | None = None, stop_requested: Callable[[], bool] = lambda: False,
        every_s: float = SAVE_EVERY_S,
    ) -> None:  # fmt: skip
        self._of, self._stop_requested, self._every_s = measured, stop_requested, every_s
        self.sheet: np.ndarray | None = None
        """The pictures of the last measurement that is done."""
        self._done: list[list[Row]] = []
        self._ready = 0
        self._under: _Under | None = None
        self._chunks, self._saved_at = 0, time.monotonic()
        self._names: list[str] = []
        self.is_kept = False
        """Whether some of it is in the store, by this process or one before."""
        self._asked = self._made_by = ""

    def take_up(self, asked: Mapping[str, Any]) -> None:
        """Go on from what an interrupted evaluation of the same checkpoint and everything `asked` has left, if any.

        What was left by other code, on other devices, or is damaged, is not used, and a warning says so.
        """
        if self._of is None:
            return
        self._asked, self._made_by = _canonical(asked), _canonical(_made_by())
        here = process_group.by_all(self._partials)
        self.is_kept = bool(here)
        own = {p.chunks: p.name for p in here if p.made_by == _short(self._made_by) and p.rank == jax.process_index()}
        if here and not own and process_group.leads():
            warnings.warn(
                f"{here[0].name}: part of this evaluation, made by other code, devices or number of processes; it is "
                "not used, the evaluation starts over",
                stacklevel=2,
            )
        self._names = [own[chunks] for chunks in sorted(own)]
        for chunks in sorted(set.intersection(*map(set, process_group.exchange(sorted(own)[-KEPT:]))), reverse=True):
            found = process_group.by_all(partial(self._read, own[chunks]))
            if not process_group.anywhere(found is None):
                assert found is not None, "agreed on"
                self._go_on(chunks, found)
                return

    def measured(self, measurement: Iterator[Row]) -> list[Row]:
        """The rows of the next measurement, which is carried out unless an interrupted evaluation had finished it."""
        if self._ready < len(self._done):
            self._ready += 1
            return self._done[self._ready - 1]
        rows = list(measurement)
        self._done.append(rows)
        self._ready += 1
        return rows

    def drawn(
        self, draw: Callable[[int], Iterator[np.ndarray]], so_far: Accumulated, watch: Stopwatch
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (place of its first sample, chunk) of the samples that are still to be added to `so_far`, in order.

        `draw` yields the samples from a place on. Raises StoppedError once a chunk was added after a stop was asked.
        """
        place, under, self._under = 0, self._under, None
        if under is not None:
            place = under.start
            so_far.go_on(under.state)
            watch.go_on(under.watch)
        for chunk in draw(place):
            yield place, chunk
            place += len(chunk)
            self._between(place, so_far, watch)

    def clear(self) -> None:
        """Delete what was kept, once the rows are in the store; any process's, of this evaluation of the checkpoint."""
        if self._of is None or not self.is_kept:
            return
        for part in self._partials():
            self._of.store.files.delete(part.name)
        self._names, self.is_kept = [], False

    def _between(self, place: int, so_far: Accumulated, watch: Stopwatch) -> None:
        if self._of is None:
            return
        self._chunks += 1
        said = process_group.exchange([self._stop_requested(), time.monotonic() - self._saved_at >= self._every_s])
        stop = any(stop for stop, _ in said)
        if stop or any(due for _, due in said):
            self._save(self._of, place, so_far.state(), watch)
            self._saved_at = time.monotonic()
        if stop:
            raise StoppedError

    def _save(self, of: Measured, place: int, state: State | None, watch: Stopwatch) -> None:
        if state is None:
            return
        said = {"asked": self._asked, "made_by": self._made_by, "start": place, "watch": watch.saved(),
                "rows": self._done, "fields": sorted(state)}  # fmt: skip
        arrays = {f"state.{name}": array for name, array in state.items()}
        if self.sheet is not None:
            arrays["sheet"] = self.sheet
        buffer = io.BytesIO()
        np.savez(buffer, said=np.array(json.dumps(said, default=lambda number: number.item())), **arrays)  # type: ignore[arg-type]
        data = buffer.getbuffer()
        name = StorePaths.partial(
            of.run_id, of.attempt, of.step, _short(self._asked), _short(self._made_by), jax.process_index(),
            self._chunks,
        )  # fmt: skip
        try:
            with contextlib.suppress(FileExistsError):  # of one thought to be gone: the same but for its seconds
                of.store.files.create(name, b"".join((hashlib.sha256(data).digest(), data)))
            self._names = [*(kept for kept in self._names if kept != name), name]
            self.is_kept = True
            while len(self._names) > KEPT:
                of.store.files.delete(self._names.pop(0))
        except StorageError as error:  # here and not raised: the other processes of a gang are drawing already
            warnings.warn(f"the evaluation goes on, but what it has done could not be kept: {error}", stacklevel=2)

    def _read(self, name: str) -> State | None:
        assert self._of is not None, "somebody's state was found"
        try:
            data = self._of.store.files.read(name)
        except FileNotFoundError:  # one that was thought to be gone has finished
            return None
        if hashlib.sha256(data[32:]).digest() == data[:32]:
            with np.load(io.BytesIO(data[32:]), allow_pickle=False) as arrays:
                found = dict(arrays)
            said = json.loads(str(found["said"]))
            if (said["asked"], said["made_by"]) == (self._asked, self._made_by):
                return found
        warnings.warn(f"{name}: part of an evaluation, but damaged; it is not used", stacklevel=2)
        self._of.store.files.delete(name)
        self._names.remove(name)
        return None

    def _go_on(self, chunks: int, found: State) -> None:
        said = json.loads(str(found["said"]))
        self._chunks, self._done, self.sheet = chunks, said["rows"], found.get("sheet")
        self._under = _Under(said["start"], {name: found[f"state.{name}"] for name in said["fields"]}, said["watch"])

    def _partials(self) -> list[Partial]:
        """The states of this evaluation, whoever wrote them."""
        of, asked = self._of, _short(self._asked)
        assert of is not None, "asked only where something is kept"
        mine = (of.attempt, of.step, asked)
        return [p for p in partials_of(of.store.files, of.run_id) if (p.attempt, p.step, p.asked) == mine]


def _made_by() -> dict[str, Any]:
    """What besides the request can change a bit of the sums."""
    return {
        "code_sha256": code_sha256(),
        "versions": versions(),
        "device": jax.devices()[0].device_kind,
        "devices": jax.device_count(),
        "processes": jax.process_count(),
    }


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
