"""Contestants in turn: each in a process of its own on the same cores, one piece of work of each a round.

So all see the same machine, busy or not, and a ratio is one of neighbours in time. What the work is, is not known here.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO, NamedTuple

import numpy as np

from dit_grid.orchestrator.backends.variables import memory_kept, on_cores
from dit_grid.orchestrator.bench.contests import OURS, Contest


@dataclass(frozen=True)
class Comparison:
    """Medians in seconds, and the paired ratios peer / ours (above 1: ours is faster) with their middle half.

    Where there is no peer, its fields are None; where one could not do it, or we could not, `failed` says who and why.
    """

    contest: str
    work: str
    case: str
    clock: str
    rounds: int
    ours_s: float | None
    peer: str | None = None
    peer_s: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    failed: str | None = None


class Worker(NamedTuple):
    """A contestant's process, and the file of what it prints besides answers: a pipe that nobody reads fills up."""

    process: subprocess.Popen[str]
    words: IO[str]


class NoAnswerError(Exception):
    """A contestant's process ended without an answer; the text is its last line."""


def compared(contest: Contest, case: str, threads: int, rounds: int | None) -> list[Comparison]:
    """One comparison a peer that is installed, or ours alone where none is."""
    seconds, failed = _seconds(contest, case, threads, rounds or contest.rounds)
    ours = np.array(seconds.pop(OURS, []))
    head = contest.name, contest.work, case, contest.clock_of(threads), len(ours)
    if OURS in failed:
        return [Comparison(*head, None, failed=f"{OURS}: {failed[OURS]}")]
    median = float(np.median(ours))
    found = [_against(Comparison(*head, median, peer), np.array(theirs), ours) for peer, theirs in seconds.items()]
    found += [Comparison(*head, median, peer, failed=f"{peer}: {why}") for peer, why in failed.items()]
    return found or [Comparison(*head, median)]


def _against(one: Comparison, theirs: np.ndarray, ours: np.ndarray) -> Comparison:
    low, middle, high = (float(q) for q in np.quantile(theirs / ours, [0.25, 0.5, 0.75]))
    return replace(one, peer_s=float(np.median(theirs)), ratio=middle, low=low, high=high)


def _seconds(contest: Contest, case: str, threads: int, rounds: int) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Seconds of each round by contestant, and why some could not."""
    failed: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        workers = {}
        for who in (OURS, *contest.installed()):
            worker = stack.enter_context(_worker(contest, who, case, threads))
            try:
                _told(worker)
                workers[who] = worker
            except NoAnswerError as error:
                failed[who] = str(error)
        seconds: dict[str, list[float]] = {who: [] for who in workers}
        for _ in range(rounds if OURS in workers else 0):
            for who in list(workers):
                try:
                    seconds[who].append(_told(workers[who]))
                except NoAnswerError as error:
                    failed[who] = str(error)
                    del workers[who], seconds[who]
    return seconds, failed


@contextlib.contextmanager
def _worker(contest: Contest, who: str, case: str, threads: int) -> Iterator[Worker]:
    """A process that does the work once for every line it gets; what it writes is removed with it.

    Where we compute it starts as a run's process does, and peers as their users' do.
    """
    command = [sys.executable, "-m", "dit_grid.orchestrator.bench.worker"]
    clock, computes = contest.clock_of(threads), contest.clock == "processor"
    command += [contest.module, who, case, str(threads), clock, "bound" if computes else "free", str(contest.turn_s)]
    with (
        tempfile.TemporaryFile("w+", errors="replace") as words,
        tempfile.TemporaryDirectory(prefix="dgb-", ignore_cleanup_errors=True) as folder,
    ):
        env = {**os.environ, "TMPDIR": folder} | (on_cores(threads) | memory_kept() if computes and who == OURS else {})
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, text=True, env=env
        )
        try:
            yield Worker(process, words)
        finally:
            process.kill()
            process.communicate()


def _told(worker: Worker) -> float:
    """Ask for the work once and return the seconds that it took; raise NoAnswerError for a process that is gone."""
    process = worker.process
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write("go\n")
        process.stdin.flush()
    if answer := process.stdout.readline():
        return float(answer)
    process.communicate()
    worker.words.seek(0)
    said = worker.words.read().strip().splitlines()
    raise NoAnswerError(said[-1][:200] if said else f"ended with status {process.returncode}")
