"""Why a gang ended, judged from all that was seen of it, and what is done about each class.

Nothing is decided from the first error of one rank: what a survivor says when its sibling's host dies looks like an
error in the code, and comes first. So evidence is gathered for a settle window, and the infrastructure's wins.
"""

from typing import NamedTuple

from dit_grid.experiments.spec.cluster import ClusterSpec
from dit_grid.experiments.training import failures
from dit_grid.orchestrator.core.state import Attempt, Evidence, GangPhase, Run

DONE, INTERRUPTED = "done", "interrupted"
PREEMPTED, LOST, NO_PROGRESS = "preempted", "infrastructure", "no-progress"
START_FAILED, PERMANENT, BAD_CHECKPOINT = "start-failed", "configuration", "bad-checkpoint"


class Policy(NamedTuple):
    """What is done about a class. `free`: costs no retry and no waiting. `other_slice`: another one is taken first.

    `waits`: however often it comes in a row, it ends no run; the back-off alone grows.
    """

    retry: bool
    free: bool = False
    waits: bool = False
    other_slice: bool = False
    strike: bool = False
    advice: str = ""


POLICIES = {
    PREEMPTED: Policy(retry=True, free=True, other_slice=True),
    LOST: Policy(retry=True, other_slice=True),
    NO_PROGRESS: Policy(retry=True, other_slice=True, strike=True),
    START_FAILED: Policy(retry=True, other_slice=True, strike=True),
    failures.STORAGE: Policy(retry=True, waits=True),
    BAD_CHECKPOINT: Policy(retry=True),
    INTERRUPTED: Policy(retry=True),
    failures.NAN: Policy(retry=False),
    failures.OUT_OF_MEMORY: Policy(
        retry=False,
        advice="set execution.remat to block or dots, execution.sharding to host or fsdp, train.accumulate higher, or "
        "a larger slice in execution.resources",
    ),
    failures.BAD_INPUT: Policy(retry=False),
    failures.SUPERSEDED: Policy(retry=False, advice="another launch took this run over; dit-grid status shows it"),
    failures.ERROR: Policy(retry=False),
    PERMANENT: Policy(retry=False, advice="the same request can never succeed; change execution.resources"),
}
"""Class -> policy. A NaN, a bad input or an error in the code comes back the same every time."""

OWN = (failures.NAN, failures.OUT_OF_MEMORY, failures.BAD_INPUT, failures.SUPERSEDED)
"""What a rank says of itself: no dying sibling makes a loss infinite. In the order in which one is believed; words of a
rank that lost a sibling are believed of none of them."""

HOST_LOSS = ("lost-host", "lost-drain")
PROCESS_LOSS = ("lost-process", "lost-unreachable", "lost")

PEER_WORDS = (
    "gloo", "connection reset", "connection closed", "connection refused", "broken pipe", "socket closed",
    "deadline_exceeded", "deadline exceeded", "unavailable:", "coordination service", "heartbeat timeout",
    "timed out waiting for", "by peer", "preempted", "remote process exit",
    "watchdog caught collective operation timeout",
)  # fmt: skip
"""Words in the error of a rank that lost a sibling: of gloo, NCCL, jax.distributed's coordination service, sockets."""


REFUSALS = ("permission denied", "no permission", "not permitted", "not signed in", "read-only", "no hard links")
"""Words of a store that will not take anything tomorrow either; one that is full, or does not answer, may."""


class Verdict(NamedTuple):
    """The class of a gang's end, and the words for it."""

    outcome: str
    message: str = ""


def judge(attempt: Attempt, now: float, slice_usable: bool, options: ClusterSpec) -> Verdict | float:
    """Return how the gang ended, or until when that is left open. `attempt` is GONE."""
    seen = attempt.evidence
    if done := _first(seen, DONE, rank=0):
        return Verdict(DONE, done.message)  # the run's end is in the store, whatever came after
    if lost := _first(seen, *HOST_LOSS):
        return Verdict(PREEMPTED, lost.message or f"a host of the gang is gone ({lost.what.removeprefix('lost-')})")
    if attempt.stop == "drain" or not slice_usable:
        return Verdict(PREEMPTED, f"slice {attempt.slice} is being taken away")
    for outcome in OWN:
        own = _first(seen, outcome)
        if own and not (attempt.ranks > 1 and is_of_a_peer(own.message)):
            return Verdict(outcome, own.message)
    if attempt.stop in ("cancel", "pause", "enough", "resume", "stop", "budget"):
        return Verdict(INTERRUPTED)
    if permanent := _first(seen, PERMANENT):
        return Verdict(PERMANENT, permanent.message)
    opened = min([item.at for item in seen], default=attempt.told_at or attempt.gone_at)
    alone = attempt.ranks == 1 and not _first(seen, *PROCESS_LOSS)
    if not alone and now < opened + options.settle_s:
        return opened + options.settle_s
    return _settled(attempt)


def _settled(attempt: Attempt) -> Verdict:
    """Return the class once nothing of the infrastructure was heard in time."""
    seen = attempt.evidence
    if attempt.stop == "no-progress":
        return Verdict(
            NO_PROGRESS, f"no new step after {attempt.step} while {attempt.activity}; stacks are in its logs"
        )
    if attempt.stop == "start-timeout":
        return Verdict(START_FAILED, "the gang did not come up in time")
    if failed := _first(seen, START_FAILED):
        return Verdict(START_FAILED, failed.message)
    for item in seen:
        if item.what == failures.ERROR and not is_of_a_peer(item.message):
            return Verdict(failures.ERROR, item.message)
    for outcome in (failures.STORAGE, BAD_CHECKPOINT, *PROCESS_LOSS, failures.ERROR, *OWN):
        if found := _first(seen, outcome):
            known = outcome in (failures.STORAGE, BAD_CHECKPOINT)
            return Verdict(outcome if known else LOST, found.message or outcome.replace("-", " "))
    if stopped := _first(seen, INTERRUPTED):
        return Verdict(INTERRUPTED, stopped.message or "stopped by itself")
    return Verdict(LOST, "the gang went away without a word")


def is_of_a_peer(message: str) -> bool:
    """Return whether an error reads like that of a rank whose sibling went away."""
    text = message.lower()
    return any(word in text for word in PEER_WORDS)


def ends_a_run(verdict: Verdict) -> bool:
    """Return whether so many of these in a row, without a new checkpoint, fail a run; else it waits."""
    policy = POLICIES.get(verdict.outcome, POLICIES[failures.ERROR])
    return not policy.waits or any(word in verdict.message.lower() for word in REFUSALS)


def bad_news(item: Evidence) -> bool:
    """Return whether the rest of the gang cannot go on after this."""
    return item.what not in (DONE, INTERRUPTED)


def backoff_s(run: Run, failures_in_a_row: int, options: ClusterSpec) -> float:
    """Return how long to wait before the next start, apart by up to a quarter from that of other runs.

    What failed together (a store that cannot be reached) should not come back together.
    """
    base = min(options.backoff_s * 2.0 ** min(max(failures_in_a_row - 1, 0), 30), options.backoff_max_s)
    share = sum(run.id.encode()) * 31 + run.starts * 17
    return base * (1.0 + (share % 64) / 256.0)


def watchdog_due(attempt: Attempt, run: Run, options: ClusterSpec) -> float:
    """Return until when the gang must show a new step, or a new activity.

    A report may cover fewer steps than the next one will, so the time is reckoned by the step, and where the steps
    between two reports are not known beforehand a few reports are waited for.
    """
    if attempt.phase is GangPhase.STARTING:
        return attempt.asked_at + options.start_timeout_s
    if attempt.activity == "evaluating":
        patience = options.evaluating_s
    elif attempt.activity in ("starting", "compiling") or len(attempt.step_times) < (1 if run.report_steps else 3):
        patience = options.starting_s
    else:
        slowest = sorted(attempt.step_times)
        p99 = slowest[min(int(0.99 * len(slowest)), len(slowest) - 1)]
        report_s = p99 * max(run.report_steps, attempt.report_steps)
        patience = max(options.watchdog_factor * report_s, options.watchdog_floor_s)
    return attempt.advanced_at + patience


def _first(seen: tuple[Evidence, ...], *whats: str, rank: int | None = None) -> Evidence | None:
    return next((item for item in seen if item.what in whats and rank in (None, item.rank)), None)
