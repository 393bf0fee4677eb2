"""Answers of the compiler kept on disk, by a hash of all that they depend on, so that no program is compiled twice.

Figures are kept and not programs: XLA's own cache of compiled programs is never read without a TPU.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

from dit_grid.experiments.data.remote import cache_folder
from dit_grid.experiments.spec.run import OptimizerSpec, RunSpec
from dit_grid.orchestrator.compiling.generations import topology_of

SOURCES = (
    "dit_grid.experiments.training.update",
    "dit_grid.experiments.training.sharding",
    "dit_grid.experiments.training.optimizer",
    "dit_grid.experiments.data.conditions",
    "dit_grid.orchestrator.compiling.child",
    "dit_grid.orchestrator.compiling.hlo",
    "dit_grid.orchestrator.compiling.costs",
    "dit_grid.orchestrator.compiling.arithmetic",
    "dit_grid.orchestrator.compiling.groups",
    "dit_grid.orchestrator.compiling.traffic",
)
"""The code, beside all of dit_grid.model, that decides what is compiled and how its figures are read."""


def canonical(run: RunSpec) -> RunSpec:
    """Return the run with everything that its training step's cost does not depend on set alike."""
    plain = OptimizerSpec()
    optimizer = run.train.optimizer.model_copy(
        update={"learning_rate": plain.learning_rate, "beta1": plain.beta1, "beta2": plain.beta2}
    )
    train = run.train.model_copy(
        update={"steps": 1000, "log_every": 1000, "class_dropout": 0.1, "optimizer": optimizer}
    )
    fields = ("resources", "remat", "attention", "sharding", "mesh")
    execution = {name: getattr(run.execution, name) for name in fields}
    return RunSpec.model_validate({
        "model": run.model.model_dump(), "data": {"name": "compiled"}, "diffusion": run.diffusion.model_dump(),
        "train": train.model_dump(), "evaluate": {"every": 1000},
        "execution": {name: value.model_dump() if hasattr(value, "model_dump") else value
                      for name, value in execution.items()} | {"checkpoint_every": 1000},
    })  # fmt: skip


def key(run: RunSpec, slice_name: str, versions: dict[str, str]) -> str:
    """Return the hash of what the compiler's answer depends on: program, layout, slice, versions and our own code."""
    fields = canonical(run).model_dump(mode="json")
    fields["model"].pop("size")
    execution = fields["execution"]
    made_of = {
        "model": fields["model"], "diffusion": fields["diffusion"], "train": fields["train"],
        "layout": [run.execution.layout, execution.get("mesh"), execution["remat"], execution["attention"]],
        "topology": list(topology_of(slice_name)), "versions": versions, "code": _code(),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def recall(name: str) -> dict[str, Any] | None:
    """Return the answer kept under the hash; None where there is none, or none that can be read."""
    try:
        return json.loads(_place(name).read_text())
    except (OSError, ValueError):
        return None


def keep(name: str, answer: dict[str, Any]) -> None:
    """Keep the answer, whole; of two at once the later stays, and they are alike. A full disk keeps nothing."""
    place = _place(name)
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".unfinished-") as folder:
            unfinished = Path(folder) / place.name
            unfinished.write_text(json.dumps(answer))
            os.replace(unfinished, place)


def _place(name: str) -> Path:
    return cache_folder() / "compiled" / f"{name}.json"


def _code() -> str:
    """Return a hash of the sources, found and not imported: they would bring JAX along."""
    specs = [importlib.util.find_spec(name) for name in SOURCES]
    files = [Path(spec.origin) for spec in specs if spec is not None and spec.origin]
    if len(files) < len(SOURCES):
        raise FileNotFoundError(f"of {', '.join(SOURCES)} some are not there")
    model = Path(str(resources.files("dit_grid.model"))).resolve()
    digest = hashlib.sha256()
    for file in [*files, *sorted(model.glob("*.py"))]:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()
