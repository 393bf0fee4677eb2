"""How long the TPU compiler lets an update take: at peak of what binds, and by its own cycles without communication.

Where the figures are from is `verdicts` (of this day) and `known_rooflines` (shipped).
"""

from typing import NamedTuple


class Roofline(NamedTuple):
    """Seconds of an update: at peak, and by the compiler's cycles where the generation's clock is known."""

    peak_s: float
    cycles_s: float | None = None

    def seconds(self, efficiency: float) -> float:
        """Return how long an update takes at that share (0, 1] of the roofline's speed.

        Never less than the compiler's own cycles: these leave out what is sent, so no update is quicker.
        """
        return max(self.peak_s / efficiency, self.cycles_s or 0.0)

    def by(self, efficiency: float) -> str:
        """Return which of the two that is, in words."""
        at_peak = self.peak_s / efficiency
        return f"roofline {efficiency:.0%}" if self.seconds(efficiency) == at_peak else "the compiler's cycles"
