"""The process that holds the compiler: one program for one topology, from a request file to an answer file.

Started by `compiler` with its environment, and ends with its one answer: libtpu prints from C++, holds a lock and may
crash, none of which the asking process should see.
"""

import json
import os
import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",  # a TPU of this machine, if there is one, stays free
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v3-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_MIN_LOG_LEVEL": "3",
}
"""What libtpu wants on a machine without a TPU; the slice that is compiled for is said apart."""

FITS, TOO_LARGE, NO_TOPOLOGY, MISMATCH, REFUSED, FAILED = "fits", "too large", "topology", "wheel", "refused", "failed"

_COLLECTIVES = (
    "all_gather",
    "all_reduce",
    "reduce_scatter",
    "nd_reduce_scatter",
    "dense_all_to_all",
    "ragged_all_to_all",
)
_MOVES = ("copy", "gather", "reduce", "reshape", "scatter", "slice", "sort")
_SPARSE_CORE = (
    *(f"sparse_core_collective_offload_{kind}" for kind in _COLLECTIVES),
    *(f"offloading_{kind}_to_sparsecore" for kind in _MOVES),
    "sparse_core_collective_aggregator", "sparse_core_compute_offload", "unified_sparse_core_offloader",
)  # fmt: skip
NO_SPARSE_CORE: dict[str, Any] = {f"xla_tpu_enable_{option}": "false" for option in _SPARSE_CORE}
"""Nothing on SparseCores: what libtpu 0.0.52 puts there jaxlib 0.10.2 cannot read. With fewer it cannot either."""

UNREAD = "unread"
"""In the answer on a program of which memory alone is known: why what it does could not be read."""

_TOO_LARGE = re.compile(r"\(([\d.]+)([KMG])\) exceeds available HBM \(([\d.]+)([KMG])\)|"
                        r"Used ([\d.]+)([KMG]) of ([\d.]+)([KMG]) hbm", re.IGNORECASE)  # fmt: skip
_SCALE = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def main(request: Path, answer: Path) -> None:
    """Compile what the request asks for and write the answer, whole or not at all."""
    asked = json.loads(request.read_text())
    said = compiled(asked)
    unfinished = answer.with_suffix(".new")
    unfinished.write_text(json.dumps(said))
    os.replace(unfinished, answer)


def compiled(asked: dict[str, Any]) -> dict[str, Any]:
    """Return what the compiler says of the run on the topology: its costs, or in one line why there are none."""
    from dit_grid.experiments.training.sharding import LayoutError
    from dit_grid.orchestrator.compiling.lowering import traced

    try:
        devices = topology_devices(asked)
    except Exception as error:
        kind = NO_TOPOLOGY if re.search(r"Topology layout|Invalid TPU external name", str(error)) else MISMATCH
        return {"kind": kind, "message": first_line(error)}
    try:
        program = traced(asked, devices)
    except LayoutError as error:
        return {"kind": REFUSED, "message": first_line(error)}
    began = time.perf_counter()
    try:
        executable = program.lowered.compile()
    except Exception as error:
        found = _too_large(str(error), program.argument_bytes)
        if found is None:
            return {"kind": FAILED, "message": first_line(error)}
    else:
        plainer = partial(program.lowered.compile, compiler_options=NO_SPARSE_CORE)
        found = {"kind": FITS, **_figures(executable, program.hosts, plainer)}
    beside = {"stays_bytes": program.stays_bytes, "comes_bytes": program.comes_bytes}
    return {"compiler_s": time.perf_counter() - began, **beside, **found}


def topology_devices(asked: dict[str, Any]) -> list[Any]:
    """Return the devices of the topology that is asked for, none of which is here."""
    from jax.experimental import topologies

    options: dict[str, Any] = {"chips_per_host_bounds": tuple(asked["host"]), "chip_config_name": asked["config"]}
    return list(topologies.get_topology_desc(platform="tpu", topology_name=asked["topology"], **options).devices)


def _figures(executable: Any, hosts: list[int], plainer: Callable[[], Any]) -> dict[str, Any]:
    """Return what the program needs and costs; `plainer` compiles it in a form that is easier to read."""
    from dit_grid.orchestrator.compiling.costs import costs_of, loop_costs
    from dit_grid.orchestrator.compiling.hlo import UnreadableProgramError, read_module
    from dit_grid.orchestrator.compiling.questions import COMPILED_STEPS

    memory = executable.memory_analysis()
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    needed = max(held + memory.temp_size_in_bytes, memory.peak_memory_in_bytes)
    known = {"hbm_needed_bytes": needed, "argument_bytes": memory.argument_size_in_bytes}
    try:
        text = _text(executable, plainer)
    except Exception as error:
        return known | {UNREAD: first_line(error)}
    try:
        module = read_module(text)
        costs, a_step = costs_of(module, hosts), loop_costs(module, hosts, (COMPILED_STEPS, COMPILED_STEPS - 1))
    except UnreadableProgramError as error:
        return {"kind": FAILED, "message": first_line(error)}
    return known | asdict(costs) | {"a_step": a_step and asdict(a_step)}


def _text(executable: Any, plainer: Callable[[], Any]) -> str:
    """Return the program in words. Raises what jaxlib raises where it can read neither it nor its plainer form."""
    try:
        return executable.as_text()
    except Exception:  # jaxlib reads its own XLA's form of programs, and what libtpu makes for tpu7x is newer
        return plainer().as_text()


def _too_large(text: str, argument_bytes: int) -> dict[str, Any] | None:
    """Return what is needed and granted as the compiler's refusal says; it may speak of temporaries alone."""
    found = _TOO_LARGE.search(text)
    if found is None:
        return None
    needed, needed_unit, granted, granted_unit = [part for part in found.groups() if part is not None]
    only_temporaries = "HLO temporaries" in text
    return {
        "kind": TOO_LARGE,
        "hbm_needed_bytes": int(float(needed) * _SCALE[needed_unit.upper()]) + only_temporaries * argument_bytes,
        "hbm_granted_bytes": int(float(granted) * _SCALE[granted_unit.upper()]),
    }


def first_line(error: Exception) -> str:
    """Return an error's first line, with its kind where that is all it says."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
