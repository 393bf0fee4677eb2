"""Answers of the compiler kept on disk, by a hash of all that they depend on, so that no program is compiled twice.

Figures are kept and not programs: XLA's own cache of compiled programs is never read without a TPU.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from dit_grid.experiments.data.remote import cache_folder
from dit_grid.orchestrator.compiling.questions import DECODE, FEATURES, SAMPLE, UPDATE, Question

READING = tuple(
    f"dit_grid.orchestrator.compiling.{name}"
    for name in ("child", "lowering", "questions", "hlo", "costs", "arithmetic", "groups", "traffic")
)
_TRAINING = tuple(f"dit_grid.experiments.training.{name}" for name in ("update", "sharding", "optimizer"))
_STEP = (*_TRAINING, "dit_grid.experiments.data.conditions", "dit_grid.model")
_NETWORKS = tuple(f"dit_grid.experiments.networks.{name}" for name in ("local_devices", "winograd"))
SOURCES = {
    UPDATE: _STEP,
    SAMPLE: (*_STEP, "dit_grid.experiments.evaluation.evaluation"),
    DECODE: (*_NETWORKS, "dit_grid.experiments.networks.autoencoder"),
    FEATURES: (*_NETWORKS, *(f"dit_grid.experiments.networks.{name}" for name in ("inception", "inception_graph"))),
}
"""The code that decides what is compiled, by program; READING is how its figures are read, whichever it is."""


def key(question: Question, versions: dict[str, str]) -> str:
    """Return the hash of what the compiler's answer depends on: program, layout, slice, versions and our own code."""
    made_of = {
        "program": question.program, **question.depends, "topology": list(question.topology), "versions": versions,
        "code": _code(question.program),
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


def _code(program: str) -> str:
    """Return a hash of the sources, found and not imported: they would bring JAX along."""
    digest = hashlib.sha256()
    for file in (file for name in (*READING, *SOURCES[program]) for file in _files(name)):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _files(name: str) -> list[Path]:
    """Return the source of a module, or all sources of a package."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.origin:
        raise FileNotFoundError(f"{name} is not there")
    origin = Path(spec.origin)
    return sorted(origin.resolve().parent.glob("*.py")) if spec.submodule_search_locations else [origin]
