"""Which rows and checkpoints of a run still count after crashes: one rule, as pure functions.

A `step` is the number of optimizer updates completed; the `resume_step` of an attempt is the step of the checkpoint
that it restored, 0 if it started fresh. Attempts of a run are numbered from 1 in the order of their fences.

    A row, or a checkpoint, of attempt a at step s is live if and only if s <= min(resume_step of every later attempt).
    Among live rows with one key, the latest attempt wins, then the latest segment, then its last row.

So the work of an attempt past the point where a later one took over never counts, even before the later attempt has
redone it, and a writer that does not know it was replaced can do no harm. The rule is monotone: an attempt added later
can only make rows dead, never live again, and it takes all rows of one key together; so dead rows and the losers of a
key may be dropped for good.
"""

from collections.abc import Iterable, Mapping


def live_limit(resume_steps: Mapping[int, int], attempt: int) -> int | None:
    """The highest live step of `attempt`, None if no later attempt limits it; `resume_steps` is by attempt number."""
    return min((step for number, step in resume_steps.items() if number > attempt), default=None)


def is_live(resume_steps: Mapping[int, int], attempt: int, step: int) -> bool:
    """Whether what `attempt` did at `step` still counts."""
    limit = live_limit(resume_steps, attempt)
    return limit is None or step <= limit


def newest_live(checkpoints: Iterable[tuple[int, int]], resume_steps: Mapping[int, int]) -> tuple[int, int] | None:
    """The (attempt, step) to resume from: the highest live step, of the latest attempt that has it; None if none is."""
    live = [(step, attempt) for attempt, step in checkpoints if is_live(resume_steps, attempt, step)]
    return max(live)[::-1] if live else None
