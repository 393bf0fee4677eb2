"""What a plan costs, in sentences: billed and held, at which prices of which date, and each term of its time.

How much that is, `planning` and `simulation` say.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from dit_grid.experiments.spec import ExperimentSpec
from dit_grid.model.plurals import counted
from dit_grid.orchestrator.planning.account import unpriced_kinds
from dit_grid.orchestrator.planning.plan import PlanRow
from dit_grid.orchestrator.screen.cells import short
from dit_grid.orchestrator.simulation.bill import Bill
from dit_grid.orchestrator.simulation.reservation import said


def money_lines(spec: ExperimentSpec, rows: Sequence[PlanRow], billed: Bill | None) -> Iterator[str]:
    """Say what is billed first, then what runs hold, at which prices, and what the budget is of."""
    if billed is not None:
        yield billed_line(spec, billed)
    elif unpriced := unpriced_kinds(spec) if spec.plan.price_rows else []:
        where = f" in {spec.plan.region}" if spec.plan.region else ""
        yield f"no {spec.plan.billing} price{where} of {', '.join(unpriced)} in plan.prices is known; add a row"
    if all(row.usd is not None for row in rows):
        yield _held_line(spec, rows)
    yield from _sources(spec, rows)
    if caps := cap_line(spec, billed):
        yield caps


def cap_line(spec: ExperimentSpec, billed: Bill | None) -> str:
    """Say what the budget caps, and whether the bill is beyond it; empty where it caps neither hours nor dollars."""
    budget = spec.cluster.budget
    caps = [(budget.slice_hours, "slice-hours"), (budget.usd, "USD")]
    said_caps = " and ".join(f"{short(cap)} {unit}" for cap, unit in caps if cap is not None)
    if not said_caps:
        return ""
    if budget.of == "held":
        return f"cluster.budget caps what runs hold at {said_caps}; slices that stay are billed beyond it"
    over = billed is not None and (
        (budget.usd is not None and billed.usd > budget.usd)
        or (budget.slice_hours is not None and billed.outcome.billed_hours > budget.slice_hours)
    )
    more = ", less than the whole is billed: runs stop at a checkpoint before it" if over else ""
    return f"cluster.budget caps what is billed while launches go on at {said_caps}{more}"


def billed_line(spec: ExperimentSpec, billed: Bill) -> str:
    """Say what is billed for which slices and how long."""
    stay = "kept" if spec.plan.capacity == "fixed" else "autoscaled"
    origin = "plan.slices" if spec.plan.slices else "one of each type; more in plan.slices"
    return (
        f"{short(billed.usd)} USD billed: {said(billed.slices)} ({origin}), {stay} for the "
        f"{short(billed.outcome.makespan_h)} hours that it takes on them; runs hold "
        f"{billed.outcome.slice_hours / billed.outcome.billed_hours:.0%} of what is billed"
    )


def bill_record(spec: ExperimentSpec, rows: Sequence[PlanRow], billed: Bill | None) -> dict[str, Any]:
    """Return for a program what the whole plan is billed and holds; null is what is not known."""
    hours, usd = [row.hours for row in rows], [row.usd for row in rows]
    return {
        "capacity": spec.plan.capacity,
        "slices": dict(billed.slices) if billed else dict(spec.plan.slices) or None,
        "makespan_hours": billed.outcome.makespan_h if billed else None,
        "billed_usd": billed.usd if billed else None,
        "billed_slice_hours": billed.outcome.billed_hours if billed else None,
        "held_usd": None if None in usd else sum(one or 0.0 for one in usd),
        "held_hours": None if None in hours else sum(one or 0.0 for one in hours),
        "budget": spec.cluster.budget.model_dump(),
    }


def price_record(spec: ExperimentSpec, row: PlanRow) -> dict[str, Any] | None:
    """Return for a program what a run's slice, GPU or core costs an hour, and where that is from; None if not known."""
    price, kind = spec.plan, row.on.split()[-1]
    found, usd = price.row(kind), price.hourly(kind)
    if usd is None:
        return None
    said = {} if found is None else {"region": found.region, "date": str(found.date)}
    unit = "usd_per_chip_hour" if price.usd_per_chip_hour else "usd_per_core_hour"
    source = f"plan.{unit} of the spec" if found is None else found.source
    return {"of": kind, "usd_per_hour": usd, "billing": price.billing, **said, "source": source}


def _held_line(spec: ExperimentSpec, rows: Sequence[PlanRow]) -> str:
    """Say what runs hold, at which price, and what that means for the most expensive one."""
    price = spec.plan
    dearest = max(rows, key=lambda row: row.usd or 0)
    evaluation = sum(row.eval_usd or 0 for row in rows)
    train = sum(row.usd or 0 for row in rows) - evaluation
    flat = price.usd_per_chip_hour or price.usd_per_core_hour
    unit = "chip" if price.usd_per_chip_hour else "core"
    rate = f" at {flat:g} USD per {unit}-hour" if flat else ""
    holds = f"{(dearest.usd_per_hour or 0) / flat:,.0f} {unit}s, " if flat else ""
    return (
        f"{short(train + evaluation)} USD held by runs{rate} (training {short(train)}, evaluation "
        f"{short(evaluation)}); {dearest.model} on {dearest.on} holds {holds}{dearest.usd_per_hour:,.0f} USD an hour"
    )


def _sources(spec: ExperimentSpec, rows: Sequence[PlanRow]) -> Iterator[str]:
    """Say each price that is paid, with its date and where it is from."""
    price = spec.plan
    kinds = dict.fromkeys(one.split()[-1] for row in rows for one in (row.on, row.eval_on))
    found = {kind: row for kind in kinds if (row := price.row(kind)) is not None}
    if found:
        each = ", ".join(f"{kind} {short(row.hourly(kind))}" for kind, row in found.items())
        where = ", ".join(dict.fromkeys(row.region or "any region" for row in found.values()))
        from_ = "; ".join(dict.fromkeys(f"{row.source}, {row.date}" for row in found.values()))
        yield f"prices, USD an hour, {price.billing}, {where}: {each} ({from_})"


TERM_INSET = 24
"""Where a term's words begin, after its hours and dollars."""


def term_lines(rows: Sequence[PlanRow]) -> Iterator[str]:
    """Say of each term of the runs' time what it comes to, and where it is from."""
    names = list(dict.fromkeys(term.name for row in rows for term in row.terms))
    if names:
        yield f"{'hours':>10}  {'USD':>10}  of all runs, and where the figure is from"
    for name in names:
        terms = [term for row in rows for term in row.terms if term.name == name]
        usd = [term.usd for term in terms if term.usd is not None]
        sources = list(dict.fromkeys(term.source for term in terms))
        more = f" (of the first; {counted(len(sources) - 1, 'other')} in --json)" if len(sources) > 1 else ""
        cost = short(sum(usd)) if usd else ""
        yield f"{short(sum(term.hours for term in terms)):>10}  {cost:>10}  {name}: {sources[0]}{more}"
