"""How long a grid will still take, from what its own runs showed: the time of a step, and what goes beside the steps.

Made from the scheduler's state alone, so it is the same live and in a simulated campaign. Nothing is scheduled here.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import fmean, median

from dit_grid.orchestrator import core
from dit_grid.orchestrator.core.state import Attempt


@dataclass(frozen=True)
class Rate:
    """Seconds of a step as `base_s` + `per_mac_s` x its multiply-accumulates, and seconds beside all steps of a run.

    Beside the steps go starting, compiling, measuring and writing checkpoints.
    """

    base_s: float
    per_mac_s: float
    beside_s: float

    def step_s(self, run: core.Run) -> float:
        """The seconds of one step of a run that was not seen yet."""
        return self.base_s + self.per_mac_s * run.macs_per_step


def remaining_s(state: core.State) -> float | None:
    """Return the seconds until all runs have ended, with as many at once as now; None before any was seen to step.

    A run's steps take what they took so far; one that waits takes what a line through the others says of its compute.
    """
    runs = [run for run in state.in_order() if not run.of]
    rate = _rate(runs)
    if rate is None:
        return None
    here = [_left_of(run, rate, state.now) for run in runs if run.phase is core.Phase.RUNNING]
    ahead = [rate.step_s(run) * (run.steps - run.step) + rate.beside_s for run in runs
             if run.phase is core.Phase.WAITING and not state.enough]  # fmt: skip
    return _one_after_another(here, ahead)


def _one_after_another(here: list[float], ahead: Iterable[float]) -> float:
    """The end of the last, where each that waits takes the place of the first to end."""
    ends = here or [0.0]
    heapq.heapify(ends)
    last = max(ends)
    for seconds in ahead:
        end = heapq.heappop(ends) + seconds
        heapq.heappush(ends, end)
        last = max(last, end)
    return last


def _left_of(run: core.Run, rate: Rate, now: float) -> float:
    attempt = run.attempt
    if attempt is None:
        return rate.step_s(run) * (run.steps - run.step) + rate.beside_s
    step = max(attempt.step, run.step)
    seconds = median(attempt.step_times) if attempt.step_times else rate.step_s(run)
    beside_so_far = _beside(attempt, seconds, now) if attempt.step_times else now - attempt.asked_at
    since = now - attempt.advanced_at if attempt.step_times else 0.0
    beside = max(rate.beside_s - beside_so_far, 0.0)
    return max(seconds * (run.steps - step) + beside - since, 0.0)


def _rate(runs: list[core.Run]) -> Rate | None:
    seen = [(run, attempt) for run in runs for attempt in _attempts(run) if attempt.step_times]
    if not seen:
        return None
    base, slope = _line([(float(run.macs_per_step), median(attempt.step_times)) for run, attempt in seen])
    return Rate(base, slope, _usual_beside([attempt for _, attempt in seen]))


def _usual_beside(seen: list[Attempt]) -> float:
    """The seconds beside its steps of an attempt yet to come.

    They are those of attempts that began once another had ended. The first ones start a cluster and its processes too,
    which those that come after them find: before any of these has ended, that part of theirs is left out.
    """
    first_end = min((one.gone_at for one in seen if one.gone_at), default=float("inf"))
    later = [one for one in seen if one.gone_at and one.asked_at >= first_end]
    if later:
        return median(_beside(one, median(one.step_times), one.gone_at) for one in later)
    ended = [one for one in seen if one.gone_at] or seen
    return fmean(_beside(one, median(one.step_times), one.gone_at or one.advanced_at) - _starting(one) for one in ended)


def _starting(attempt: Attempt) -> float:
    """The seconds until its process was heard of."""
    return max(attempt.heard_at - attempt.asked_at, 0.0)


def _attempts(run: core.Run) -> Iterator[Attempt]:
    yield from run.past
    if run.attempt is not None:
        yield run.attempt


def _beside(attempt: Attempt, step_s: float, until: float) -> float:
    """The seconds of an attempt that no step took."""
    stepped = (attempt.step - (attempt.resumed or 0)) * step_s
    return max(min(until, attempt.gone_at or until) - attempt.asked_at - stepped, 0.0)


def _line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """The least-squares line through (compute, seconds), neither end of it below 0; of one compute, in proportion."""
    x, y = fmean(p[0] for p in points), fmean(p[1] for p in points)
    spread = sum((p[0] - x) ** 2 for p in points)
    if spread == 0:
        return (0.0, y / x) if x else (y, 0.0)
    slope = sum((p[0] - x) * (p[1] - y) for p in points) / spread
    if slope <= 0:
        return y, 0.0
    base = y - slope * x
    return (base, slope) if base >= 0 else (0.0, y / x)
