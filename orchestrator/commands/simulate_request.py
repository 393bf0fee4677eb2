"""What a person asks of a virtual cluster, as text: slices, rates, faults, a deadline, money.

Every reader raises RequestError, in a line with what it got and what is allowed.
"""

import re

KINDS = (
    "preemption, kill, process, hang, storage, broken, driver (an hour and slice), nan, out-of-memory (share of runs)"
)

MOST_A_RATE = 1e4
"""Of anything, in an hour or a day: a campaign in which nothing lives for a second never ends."""

UNITS_H = {"h": 1.0, "d": 24.0}


def counts(slices: tuple[str, ...]) -> dict[str, int]:
    """Return type -> number from `v3-32=4,v3-128=1`. Raises RequestError for an unknown type or no number."""
    from dit_grid.experiments.spec.slices import slice_mistake
    from dit_grid.experiments.spec.source import shown
    from dit_grid.orchestrator.control.errors import RequestError

    found: dict[str, int] = {}
    for item in (part for text in slices for part in text.split(",")):
        kind, _, count = item.strip().partition("=")
        mistake = "" if kind in ("cpu", "gpu") else slice_mistake(kind)
        if mistake or not (count.isascii() and count.isdecimal() and len(count) <= 6):
            mistake = mistake or "give a type and a number below a million, for example v3-32=4"
            raise RequestError(f"--slices {shown(item)}: {mistake}")
        found[kind] = found.get(kind, 0) + int(count)
    return found


def rate(option: str, text: str) -> float:
    """Return events an hour from `0.1/h`, `2/d` or a plain number. Raises RequestError."""
    from dit_grid.experiments.spec.source import shown
    from dit_grid.orchestrator.control.errors import RequestError

    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(?:/(h|d))?", text.strip(), re.ASCII)
    if match is None or float(match[1]) > MOST_A_RATE:
        raise RequestError(
            f"{option} {shown(text)}: give a number an hour or a day, for example 0.1/h or 2/d, at most {MOST_A_RATE:g}"
        )
    return float(match[1]) / (24 if match[2] == "d" else 1)


def fault_rates(faults: tuple[str, ...]) -> dict[str, float]:
    """Return fields of `Faults` from `kill=0.1/h`. Raises RequestError for an unknown kind."""
    from dit_grid.experiments.spec.source import shown
    from dit_grid.orchestrator.control.errors import RequestError
    from dit_grid.orchestrator.simulation.faults import PER_SLICE

    shares, found = ("nan", "out_of_memory"), {}
    for item in faults:
        kind, _, text = item.partition("=")
        name = kind.strip().replace("-", "_")
        if name not in (*PER_SLICE, "driver", *shares):
            raise RequestError(f"--fault {shown(item)}: unknown kind; kinds: {KINDS}")
        found[name] = rate("--fault", text)
        if name in shares and found[name] > 0.5:
            raise RequestError(f"--fault {item}: a share of runs, at most 0.5")
    return found


def deadline(text: str) -> float:
    """Return the hours in `7d` or `100h`. Raises RequestError."""
    from dit_grid.experiments.spec.source import shown
    from dit_grid.orchestrator.control.errors import RequestError

    match = re.fullmatch(r"(\d{1,6}(?:\.\d{0,6})?)(h|d)", text.strip(), re.ASCII)
    if match is None or not float(match[1]):
        raise RequestError(f"--deadline {shown(text)}: give a time above 0 in hours or days, for example 100h or 7d")
    return float(match[1]) * UNITS_H[match[2]]


def money(text: str) -> float:
    """Return the dollars in `120000usd` or `120000`. Raises RequestError."""
    from dit_grid.experiments.spec.source import shown
    from dit_grid.orchestrator.control.errors import RequestError

    match = re.fullmatch(r"(\d{1,12}(?:\.\d{0,6})?)(?:usd)?", text.strip().lower(), re.ASCII)
    if match is None or not float(match[1]):
        raise RequestError(f"--budget {shown(text)}: give dollars above 0, for example 120000usd")
    return float(match[1])
