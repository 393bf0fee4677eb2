"""Writes the rooflines that the package ships: of the shipped grid and its groups, asked of the TPU compiler here.

uv sync --extra tpu
uv run --no-sync python docs/write_rooflines.py     # half an hour of a processor; what was asked before at once
"""

from collections.abc import Iterator
from pathlib import Path

import yaml

from dit_grid.experiments.spec import RunSpec, load_spec
from dit_grid.orchestrator.compiling import known_rooflines
from dit_grid.orchestrator.compiling.compiler import check_compiler
from dit_grid.orchestrator.compiling.known_rooflines import Known, Row, program_of
from dit_grid.orchestrator.compiling.verdicts import judge, on_slices

ROOT = Path(__file__).resolve().parents[1]
GRID = ROOT / "experiments" / "grid.yaml"
FILE = ROOT / "orchestrator" / "compiling" / known_rooflines.FILE

HEAD = """\
# What the TPU compiler says of an update of each run of experiments/grid.yaml and its groups, on the run's own slice:
# seconds at peak of what binds, and by the compiler's own cycles without communication. Nothing ran on a TPU.
# Made by `python docs/write_rooflines.py`; `pytest -m tpu` asks the compiler again.
"""


def text() -> str:
    """Return the file as it should be."""
    versions = check_compiler()
    asked = on_slices(load_spec(GRID, ["blocks", "512", "long"]).networks)
    rows = list(dict.fromkeys(row for run in asked for row in _rows(run, versions)))
    known = Known(jax=versions["jax"], libtpu=versions["libtpu"], rows=tuple(rows))
    said = known.model_dump(exclude={"rows"})
    lines = (_line(row.model_dump(exclude_defaults=True)) for row in rows)
    return HEAD + yaml.safe_dump(said, sort_keys=False) + "rows:\n" + "".join(lines)


def _rows(run: RunSpec, versions: dict[str, str]) -> Iterator[Row]:
    """Yield the row of the run, if it fits."""
    found, program = judge(run, versions), program_of(run)
    if program is not None and found.roofline_s is not None and found.bound is not None:
        yield Row(
            model=run.model, batch=program.batch, optimizer=program.optimizer, dtype=program.dtype, slice=program.slice,
            layout=program.layout, roofline_s=_short(found.roofline_s), bound=found.bound,
            estimated_s=_short(found.estimated_s) if found.estimated_s else None,
        )  # fmt: skip


def _short(seconds: float) -> float:
    return float(f"{seconds:.4g}")


def _line(row: dict[str, object]) -> str:
    return "- " + yaml.safe_dump(row, sort_keys=False, default_flow_style=True, width=1_000)


if __name__ == "__main__":
    FILE.write_text(text())
