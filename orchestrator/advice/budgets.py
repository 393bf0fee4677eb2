"""What may be spent on the next runs, as a person writes it, and what they take, as a person reads it.

What is bought for it is `suggest`.
"""

import re
from dataclasses import dataclass

from dit_grid.model.accounting import FLOPS_PER_MAC
from dit_grid.orchestrator.control.errors import RequestError

UNITS = {"usd": "usd", "h": "hours", "flops": "flops"}

TIMES = (("d", 1 / 24, 3.0), ("h", 1.0, 2.0), ("min", 60.0, 2.0), ("s", 3600.0, 0.0))
"""Units of time, how many of them an hour has, and from how many of them on they are used."""

_BUDGET = re.compile(r"\s*(?P<amount>[0-9][0-9_.,]*(?:[eE][+-]?[0-9]+)?)\s*(?P<unit>[A-Za-z$]+)\s*")


@dataclass(frozen=True)
class Budget:
    """An amount of `usd`, `hours` (of runs one after another, as `plan` counts them) or `flops` (true: 2 a MAC).

    Without an amount the unit is only that of prices.
    """

    amount: float | None
    unit: str


def parse_budget(text: str) -> Budget:
    """Return the budget in `5000usd`, `200h` or `1e21flops`; RequestError for anything else."""
    found = _BUDGET.fullmatch(text)
    unit = UNITS.get(found["unit"].lower()) if found else None
    try:
        amount = float(found["amount"].replace(",", "").replace("_", "")) if found else 0.0
    except ValueError:
        amount = 0.0
    if unit is None or not 0 < amount < float("inf"):
        raise RequestError(f"--budget {text!r}: give an amount above 0 and its unit, 5000usd, 200h or 1e21flops")
    return Budget(amount, unit)


def priced_text(amount: float, unit: str) -> str:
    """Return an amount of a budget's unit in words: USD, a duration, or compute in GMACs as a plan has it."""
    if unit == "usd":
        return f"{amount:,.2f} USD"
    return duration(amount) if unit == "hours" else f"{gmacs_text(amount / FLOPS_PER_MAC / 1e9)} GMACs"


def duration(hours: float) -> str:
    """Return hours in the unit in which they read well, with two digits."""
    amount, unit = next((hours * per, unit) for unit, per, least in TIMES if hours * per >= least or unit == "s")
    return f"{amount:,.0f} {unit}" if amount >= 10 else f"{amount:.2g} {unit}"


def gmacs_text(gmacs: float) -> str:
    """Return GMACs with three digits below a thousand."""
    return f"{gmacs:,.3g}" if gmacs < 1e3 else f"{gmacs:,.0f}"
