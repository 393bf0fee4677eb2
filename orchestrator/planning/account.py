"""What a launch held and what the cluster that it was on was billed for meanwhile, from the scheduler's last state.

What a launch will cost is reckoned by `plan`; nothing here is an invoice.
"""

from collections import Counter
from typing import NamedTuple

from dit_grid.experiments.spec import PriceSpec
from dit_grid.orchestrator import core


class Account(NamedTuple):
    """Slice-hours and dollars of one launch: held by runs, and of all slices of its cluster while it went on.

    Dollars are None where a slice has no price.
    """

    held_hours: float
    billed_hours: float
    held_usd: float | None
    billed_usd: float | None

    @property
    def line(self) -> str:
        """The account in a sentence."""
        held, billed = (_said(self.held_hours, self.held_usd), _said(self.billed_hours, self.billed_usd))
        return f"billed about {billed} for the slices of the cluster while this launch went on; its runs held {held}"


def account(state: core.State, price: PriceSpec) -> Account | None:
    """Return the account of the launch that ended in `state`; None where nothing ran on slices.

    Slices count as they were seen last, from the first start to the end.
    """
    attempts = [
        (run, one) for run in state.in_order() for one in (*run.past, *filter(None, [run.attempt])) if one.slice
    ]
    there = Counter(item.type for item in state.ledger.slices.values())
    if not attempts or not there:
        return None
    hours = (state.now - min(one.asked_at for _, one in attempts)) / 3600
    held = [(run, ((one.gone_at or state.now) - one.asked_at) / 3600) for run, one in attempts]
    rates = [price.hourly(kind) for kind in there]
    billed = None if None in rates else hours * sum((price.hourly(kind) or 0.0) * n for kind, n in there.items())
    usd = None if billed is None else sum(h * run.usd_per_hour for run, h in held)
    return Account(sum(h for _, h in held), hours * sum(there.values()), usd, billed)


def _said(hours: float, usd: float | None) -> str:
    return f"{hours:,.4g} slice-hours" + ("" if usd is None else f", {usd:,.2f} USD")
