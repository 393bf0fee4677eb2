"""What this machine and cluster can do, what is missing, and the command that fixes it."""

import importlib.util
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dit_grid.orchestrator.backends.worker import compilation_cache

if TYPE_CHECKING:
    from dit_grid.orchestrator.core.events import SliceSeen

NEEDED = ("jax", "flax", "optax", "orbax-checkpoint", "ray", "pandas", "pyarrow", "scipy", "matplotlib", "clu", "gcsfs")

FREE_GIB = 1.0
"""Disk that the digits grid with its compiled programs and checkpoints fits into, with room to spare."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `level` is ok, note or problem; `fix` is a command or empty."""

    level: Literal["ok", "note", "problem"]
    subject: str
    text: str
    fix: str = ""


def examine(address: str | None = None) -> list[Finding]:
    """Return what was found about Python, packages, devices, disk and, with an address, the Ray cluster there."""
    return [*_python(), *_packages(), *_devices(), *_disk(), *(_cluster(address) if address else ())]


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    yield Finding("ok" if good else "problem", "python", version, "" if good else "install Python 3.11 or later")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("ok", "cpu", f"{cores} usable cores; a laptop grid trains that many models at once")


def _packages() -> Iterator[Finding]:
    missing = [name for name in NEEDED if importlib.util.find_spec(name.replace("-", ".").split(".")[0]) is None]
    if missing:
        yield Finding("problem", "packages", f"missing: {', '.join(missing)}", f"pip install {' '.join(missing)}")
        return
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("jax", "flax", "ray"))
    yield Finding("ok", "packages", versions)


def _devices() -> Iterator[Finding]:
    import jax

    try:
        devices = jax.devices()
    except RuntimeError as error:
        yield Finding("problem", "devices", f"JAX cannot start: {error}", "JAX_PLATFORMS=cpu dit-grid doctor")
        return
    kinds = sorted({device.device_kind for device in devices})
    yield Finding("ok", "devices", f"JAX sees {len(devices)} x {', '.join(kinds)}")
    if devices[0].platform == "cpu":
        if shutil.which("nvidia-smi"):
            yield Finding("problem", "gpu", "a GPU is here but JAX does not see it", 'pip install "jax[cuda13]"')
        else:
            text = "no GPU or TPU: the digits grid runs here; experiments/grid.yaml needs a cluster with TPU slices"
            yield Finding("note", "accelerator", text)


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    good = free > FREE_GIB
    fix = "" if good else "free some space, or set `store` in the spec to another disk"
    yield Finding("ok" if good else "problem", "disk", f"{free:.1f} GiB free in this folder", fix)
    cache = compilation_cache()
    yield Finding("ok", "cache", f"compiled programs are kept in {cache}", "")


def _cluster(address: str) -> Iterator[Finding]:
    import ray

    from dit_grid.orchestrator.backends.ray.nodes import living, pools_of, slices_of

    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except Exception as error:  # Ray raises whatever the layer below raised
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        yield Finding("problem", "cluster", f"no Ray at {address}: {cause}", "ray start --head")
        return
    try:
        nodes = living(ray.nodes())
        draining = ray._private.state.state.get_draining_nodes() if not address.startswith("ray://") else {}
    finally:
        ray.shutdown()
    pools = ", ".join(f"{count} x {kind}" for kind, count in pools_of(nodes).items()) or "none outside of slices"
    yield Finding("ok", "cluster", f"{len(nodes)} hosts at {address}; CPU cores and GPUs: {pools}")
    yield from map(_slice, slices_of(nodes, draining))


def _slice(seen: "SliceSeen") -> Finding:
    """Say of a slice whether a run can be placed on it, and if not, why."""
    there = len(seen.hosts) - seen.hosts.count(None)
    text = f"{seen.type}, {there} of {len(seen.hosts)} hosts"
    if seen.draining:
        return Finding("note", seen.name, f"{text}; draining, about to be taken away: no new run is placed on it")
    if not seen.intact:
        missing = ", ".join(str(worker) for worker, host in enumerate(seen.hosts) if host is None)
        fix = "bring the missing hosts back, or delete the slice and make it again"
        return Finding(
            "problem", seen.name, f"{text}; broken, worker {missing} is missing: no run is placed on it", fix
        )
    return Finding("ok", seen.name, f"{text}; intact")
