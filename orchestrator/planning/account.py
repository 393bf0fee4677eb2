"""What a launch held and what the cluster that it was on was billed for meanwhile, from the scheduler's own books.

What a launch will cost is reckoned by `plan`; nothing here is an invoice.
"""

from typing import NamedTuple

from immutables import Map

from dit_grid.experiments.spec import ExperimentSpec, PriceSpec
from dit_grid.experiments.spec.price import SINGLE
from dit_grid.orchestrator import core
from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.core.events import Unwatched


class Account(NamedTuple):
    """Slice-hours and dollars of one launch: held by runs, and billed while it went on (`core.Tariff`).

    Dollars are None where a slice has no price.
    """

    held_hours: float
    billed_hours: float
    held_usd: float | None
    billed_usd: float | None
    missed: str = ""
    """What of it no driver counted, in words."""

    @property
    def line(self) -> str:
        """The account in a sentence."""
        held, billed = (_said(self.held_hours, self.held_usd), _said(self.billed_hours, self.billed_usd))
        whole = f"billed about {billed} for the slices of the cluster while this launch went on"
        return f"{whole}; its runs held {held}{self.missed}"


def account(state: core.State, price: PriceSpec) -> Account | None:
    """Return the account of the launch that came to `state`; None where nothing ran on slices."""
    if not any(one.slice for run in state.in_order() for one in (*run.past, *filter(None, [run.attempt]))):
        return None
    spent, before = state.spending.at(state.now), state.spent_before
    kinds = state.ledger.most
    priced = all(price.hourly(kind) is not None for kind in kinds if kind in state.tariff.usd_per_hour)
    return Account(
        (spent.slice_s - before.slice_s) / 3600,
        (spent.billed_s - before.billed_s) / 3600,
        spent.usd - before.usd if priced else None,
        spent.billed_usd - before.billed_usd if priced else None,
        _missed(spent.missed, priced) if spent.missed else "",
    )


def _missed(missed: Unwatched, priced: bool) -> str:
    """What was billed while no driver counted, and why it may be less."""
    billed = _said(missed.billed_s / 3600, missed.billed_usd if priced else None)
    bound = f"at most {billed}" if missed.at_most else billed
    why = f" ({missed.at_most}; when is not known)" if missed.at_most else ""
    return f"; of the bill {bound} are of {missed.seconds / 3600:,.3g} hours in which no driver was alive{why}"


def tariff(spec: ExperimentSpec) -> core.Tariff:
    """Return what is billed of a cluster while the spec is launched on it: the slice types that the spec names.

    Other slices on the same cluster are somebody else's.
    """
    price = spec.plan
    rates = {kind: price.hourly(kind) or 0.0 for kind in named(spec) if kind not in SINGLE}
    return core.Tariff(Map(rates), price.capacity == "fixed", price.go_s)


def named(spec: ExperimentSpec) -> list[str]:
    """Return the kinds that the spec's runs and their evaluations hold, and the slice types that it reserves."""
    held = [run.execution.resources for run in spec.runs]
    held += [run.execution.evaluate_on for run in spec.runs if run.execution.evaluate_on]
    return list(dict.fromkeys([*spec.plan.slices, *(one.kind for one in held)]))


def unpriced_kinds(spec: ExperimentSpec) -> list[str]:
    """Return what of that no price is known of."""
    return [kind for kind in named(spec) if spec.plan.hourly(kind) is None]


def check_budget(spec: ExperimentSpec) -> None:
    """Raise RequestError, in a line, where the spec caps dollars and something that it pays for has no price."""
    cap, price, unpriced = spec.cluster.budget.usd, spec.plan, unpriced_kinds(spec)
    if cap is None or not unpriced:
        return
    where = f" in {price.region}" if price.region else ""
    raise RequestError(
        f"cluster.budget.usd {cap:g} would cap nothing: no {price.billing} price of {', '.join(unpriced)}{where} is "
        "known; add a row to plan.prices, or cap cluster.budget.slice_hours"
    )


def _said(hours: float, usd: float | None) -> str:
    return f"{hours:,.4g} slice-hours" + ("" if usd is None else f", {usd:,.2f} USD")
