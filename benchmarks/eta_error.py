"""How far off the time to go was, over launches that ended: their journals are played again, with what was said then.

    python benchmarks/eta_error.py results/digits

A row a tenth of the launch: the end that was said in its course, off by how much of the whole launch. Nothing is timed
here; what is read is the store, and what a launch said follows from its journal alone. No target is set.
"""

import argparse
from collections.abc import Iterator

from dit_grid.experiments.store import Store
from dit_grid.orchestrator import core
from dit_grid.orchestrator.control.journal import read
from dit_grid.orchestrator.screen.remaining import remaining_s
from dit_grid.orchestrator.screen.rows import span

TENTHS = 10


def launches(store: Store) -> Iterator[tuple[str, list[dict]]]:
    """Name and rows of each journal of the store."""
    rows = store.events().to_pylist()
    for name in sorted({row["journal"] for row in rows}):
        yield name, [row for row in rows if row["journal"] == name]


def said(rows: list[dict]) -> tuple[list[tuple[float, float]], float, float]:
    """(time, the end that was said then) after each event, when the launch began, and when its last run ended."""
    state, told = read(rows)
    found, began, ended = list[tuple[float, float]](), None, 0.0
    for event, _ in told:
        before = state.finished
        state, _ = core.advance(state, event)
        began = state.now if began is None else began
        left = remaining_s(state)
        if state.finished and not before:
            ended = state.now
        elif left is not None and not state.finished:
            found.append((state.now, state.now + left))
    return found, began or 0.0, ended


def errors(found: list[tuple[float, float]], began: float, ended: float) -> list[float | None]:
    """The share of the launch by which the end said in each tenth of it was off at most; None where none was said."""
    whole = ended - began
    tenths: list[float | None] = [None] * TENTHS
    for at, end in found:
        place = min(int(TENTHS * (at - began) / whole), TENTHS - 1)
        tenths[place] = max(tenths[place] or 0.0, abs(end - ended) / whole)
    return tenths


def main() -> None:
    """Print a line a launch of each store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", nargs="+")
    for where in parser.parse_args().stores:
        for name, rows in launches(Store.open(where)):
            found, began, ended = said(rows)
            if not ended:
                print(f"{where}, {name}: did not end")
                continue
            tenths = ["   -" if off is None else f"{off:4.0%}" for off in errors(found, began, ended)]
            print(f"{where}, {name}: took {span(ended - began)}; off by tenths of it: {' '.join(tenths)}")


if __name__ == "__main__":
    main()
