"""What was spent, what is spoken for, and whether another start still fits under the caps.

Slice-hours and dollars run from the Start of a gang until it is gone: that is what a cloud bills.
"""

from dataclasses import dataclass, replace

from dit_grid.experiments.spec.cluster import BudgetSpec

HOUR_S = 3600.0


@dataclass(frozen=True)
class Spending:
    """Spent until `counted_at`, and how fast it goes on: `held` gangs at `usd_per_hour` together."""

    slice_s: float = 0.0
    usd: float = 0.0
    held: int = 0
    usd_per_hour: float = 0.0
    counted_at: float | None = None
    exhausted: bool = False
    """Whether gangs were stopped to keep a cap; nothing starts after that."""

    def at(self, now: float) -> "Spending":
        """Return the same, counted until `now`."""
        if self.counted_at is None or not self.held:
            return replace(self, counted_at=now)
        passed = now - self.counted_at
        return replace(
            self,
            slice_s=self.slice_s + passed * self.held,
            usd=self.usd + passed / HOUR_S * self.usd_per_hour,
            counted_at=now,
        )

    def holding(self, gangs: int, usd_per_hour: float) -> "Spending":
        """Return the same with so many gangs more (or fewer) from now on."""
        held = self.held + gangs
        rate = self.usd_per_hour + gangs * usd_per_hour if held else 0.0  # no rest of rounding when nothing is held
        return replace(self, held=held, usd_per_hour=rate)

    def exhausted_at(self, budget: BudgetSpec, grace_s: float) -> float | None:
        """Return when gangs must be asked to stop, so that all have ended within `grace_s` before a cap is reached."""
        if not self.held or self.counted_at is None:
            return None
        left = [(cap - spent) / rate for cap, spent, rate in self._caps(budget) if rate > 0]
        return self.counted_at + max(min(left) - grace_s, 0.0) if left else None

    def refusal(self, budget: BudgetSpec, spoken_for: "Claim", asked: "Claim") -> str:
        """Return why no gang that will need `asked` may start beside those that need `spoken_for`; empty if it may."""
        if budget.slices is not None and self.held >= budget.slices:
            return f"budget: {self.held} of at most {budget.slices} slices are in use (cluster.budget.slices)"
        if self.exhausted:
            return f"budget: spent ({self.slice_s / HOUR_S:.4g} slice-hours, {self.usd:.4g} USD; cluster.budget)"
        for name, cap, spent, claimed, need, unit in (
            ("slice_hours", budget.slice_hours, self.slice_s / HOUR_S, spoken_for.slice_s / HOUR_S,
             asked.slice_s / HOUR_S, "slice-hours"),
            ("usd", budget.usd, self.usd, spoken_for.usd, asked.usd, "USD"),
        ):  # fmt: skip
            if cap is not None and (spent >= cap or spent + claimed + need > cap):
                return (
                    f"budget: {spent:.4g} of {cap:g} {unit} spent and {claimed:.4g} spoken for; this run needs "
                    f"{need:.4g} (cluster.budget.{name})"
                )
        return ""

    def _caps(self, budget: BudgetSpec) -> list[tuple[float, float, float]]:
        caps = []
        if budget.slice_hours is not None:
            caps.append((budget.slice_hours * HOUR_S, self.slice_s, float(self.held)))
        if budget.usd is not None:
            caps.append((budget.usd, self.usd, self.usd_per_hour / HOUR_S))
        return caps


@dataclass(frozen=True)
class Claim:
    """What a run is expected to need until its end."""

    slice_s: float = 0.0
    usd: float = 0.0

    def __add__(self, other: "Claim") -> "Claim":
        return Claim(self.slice_s + other.slice_s, self.usd + other.usd)


def claim(remaining_s: float | None, usd_per_hour: float, grace_s: float) -> Claim:
    """Return what a run with so much to go will need, at the least the time to stop it in good order.

    For a run whose speed is not known that least is all: it starts while there is money and is stopped in time.
    """
    seconds = max(remaining_s or 0.0, grace_s)
    return Claim(seconds, seconds / HOUR_S * usd_per_hour)
