"""What was spent, what is spoken for, and whether another start still fits under the caps.

Held is from the Start of a gang until it is gone; billed is what a cloud bills meanwhile (`tariff`).
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from dit_grid.experiments.spec.cluster import BudgetSpec
from dit_grid.orchestrator.core.events import Unwatched

HOUR_S = 3600.0


class Rate(NamedTuple):
    """So many slices, or gangs on cores and GPUs, and what they cost an hour together."""

    number: int = 0
    usd_per_hour: float = 0.0

    def plus(self, number: int, usd_per_hour: float) -> "Rate":
        """Return the rate with so many more, or fewer, at so much each; no rest of rounding when none is left."""
        more = self.number + number
        return Rate(more, self.usd_per_hour + number * usd_per_hour if more else 0.0)


NOTHING = Rate()


@dataclass(frozen=True)
class Claim:
    """What a run is expected to need until its end: of what it holds, and how long the cluster is kept for it."""

    slice_s: float = 0.0
    usd: float = 0.0
    until_s: float = 0.0

    def __add__(self, other: "Claim") -> "Claim":
        return Claim(self.slice_s + other.slice_s, self.usd + other.usd, max(self.until_s, other.until_s))


@dataclass(frozen=True)
class Spending:
    """Spent until `counted_at`, held and billed, and how fast it goes on.

    `held` gangs at `usd_per_hour` together; billed are those of them that are `by_gang`, and the slices that `stay`.
    """

    slice_s: float = 0.0
    usd: float = 0.0
    held: int = 0
    usd_per_hour: float = 0.0
    counted_at: float | None = None
    exhausted: bool = False
    """Whether gangs were stopped to keep a cap; nothing starts after that."""
    billed_s: float = 0.0
    billed_usd: float = 0.0
    by_gang: Rate = NOTHING
    stay: Rate = NOTHING
    missed: Unwatched | None = None
    """What of it no driver counted, where the one before this died."""

    def at(self, now: float) -> "Spending":
        """Return the same, counted until `now`."""
        if self.counted_at is None or not (self.held or self.stay.number):
            return replace(self, counted_at=now)
        passed, billed = now - self.counted_at, self._rate("billed")
        return replace(
            self,
            slice_s=self.slice_s + passed * self.held,
            usd=self.usd + passed / HOUR_S * self.usd_per_hour,
            counted_at=now,
            billed_s=self.billed_s + passed * billed.number,
            billed_usd=self.billed_usd + passed / HOUR_S * billed.usd_per_hour,
        )

    def holding(self, gangs: int, usd_per_hour: float, by_gang: bool, kept_s: float = 0.0) -> "Spending":
        """Return the same with so many gangs more (or fewer) from now on, each billed by itself or not.

        `kept_s` are seconds that what a gang takes is billed beside its own time.
        """
        held = Rate(self.held, self.usd_per_hour).plus(gangs, usd_per_hour)
        return replace(
            self,
            held=held.number,
            usd_per_hour=held.usd_per_hour,
            by_gang=self.by_gang.plus(gangs, usd_per_hour) if by_gang else self.by_gang,
            billed_s=self.billed_s + kept_s,
            billed_usd=self.billed_usd + kept_s / HOUR_S * usd_per_hour,
        )

    def with_missed(self, missed: Unwatched) -> "Spending":
        """Return the same with what was held and billed while no driver counted."""
        return replace(
            self,
            slice_s=self.slice_s + missed.slice_s,
            usd=self.usd + missed.usd,
            billed_s=self.billed_s + missed.billed_s,
            billed_usd=self.billed_usd + missed.billed_usd,
            missed=missed,
        )

    def before_any_gang(self) -> "Spending":
        """Return what was spent as another driver takes it over, that counts anew what is held and there."""
        return replace(self, held=0, usd_per_hour=0.0, by_gang=NOTHING, stay=NOTHING, counted_at=None, missed=None)

    def exhausted_at(self, budget: BudgetSpec, grace_s: float) -> float | None:
        """Return when gangs must be asked to stop, so that all have ended within `grace_s` before a cap is reached."""
        rate = self._rate(budget.of)
        if not rate.number or self.counted_at is None:
            return None
        spent_s, spent_usd = self._spent(budget.of)
        left = [(budget.slice_hours * HOUR_S - spent_s) / rate.number] if budget.slice_hours is not None else []
        if budget.usd is not None and rate.usd_per_hour > 0:
            left.append((budget.usd - spent_usd) / rate.usd_per_hour * HOUR_S)
        return self.counted_at + max(min(left) - grace_s, 0.0) if left else None

    def refusal(self, budget: BudgetSpec, spoken_for: Claim, asked: Claim) -> str:
        """Return why no gang that will need `asked` may start beside those that need `spoken_for`; empty if it may."""
        if budget.slices is not None and self.held >= budget.slices:
            return f"budget: {self.held} of at most {budget.slices} slices are in use (cluster.budget.slices)"
        (spent_s, spent_usd), verb = self._spent(budget.of), budget.of
        if self.exhausted:
            return f"budget: spent ({spent_s / HOUR_S:.4g} slice-hours, {spent_usd:.4g} USD {verb}; cluster.budget)"
        (now_s, now_usd), (then_s, then_usd) = self._claimed(spoken_for), self._claimed(spoken_for + asked)
        for name, cap, spent, claimed, then, unit in (
            ("slice_hours", budget.slice_hours, spent_s / HOUR_S, now_s / HOUR_S, then_s / HOUR_S, "slice-hours"),
            ("usd", budget.usd, spent_usd, now_usd, then_usd, "USD"),
        ):
            if cap is not None and (spent >= cap or spent + then > cap):
                return (
                    f"budget: {spent:.4g} of {cap:g} {unit} {verb} and {claimed:.4g} spoken for; this run needs "
                    f"{then - claimed:.4g} (cluster.budget.{name})"
                )
        return ""

    def _claimed(self, claim: Claim) -> tuple[float, float]:
        """Seconds of slices and dollars of a claim: what runs hold, and what stays until the last of them ends."""
        kept_usd = claim.until_s / HOUR_S * self.stay.usd_per_hour
        return claim.slice_s + claim.until_s * self.stay.number, claim.usd + kept_usd

    def _rate(self, of: str) -> Rate:
        if of == "held":
            return Rate(self.held, self.usd_per_hour)
        gangs, stay = self.by_gang, self.stay
        return Rate(gangs.number + stay.number, gangs.usd_per_hour + stay.usd_per_hour)

    def _spent(self, of: str) -> tuple[float, float]:
        return (self.slice_s, self.usd) if of == "held" else (self.billed_s, self.billed_usd)


def claim(remaining_s: float | None, usd_per_hour: float, grace_s: float, by_gang: bool) -> Claim:
    """Return what a run with so much to go will need, at the least the time to stop it in good order.

    For a run whose speed is not known that least is all: it starts while there is money and is stopped in time. One
    that is not counted by what its gang holds needs the slices that stay for so long.
    """
    seconds = max(remaining_s or 0.0, grace_s)
    return Claim(seconds, seconds / HOUR_S * usd_per_hour) if by_gang else Claim(until_s=seconds)
