"""Which share of a job this process does when several hosts work at it: asked for, or as the environment says.

The hosts never talk to each other; the job's own files say what is done.
"""

from collections.abc import Mapping
from typing import NamedTuple

from dit_grid.orchestrator.control.errors import RequestError

RANKS = (
    ("SLURM_PROCID", "SLURM_NTASKS"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("JAX_PROCESS_ID", "JAX_NUM_PROCESSES"),
)
"""What srun, mpirun and JAX's launchers tell each process: its number and how many there are."""


class Share(NamedTuple):
    """Host `host`, from 0, of `hosts`; `said_by` is the option or the variable that says so."""

    host: int
    hosts: int
    said_by: str


def share(asked: str | None, environment: Mapping[str, str]) -> Share:
    """The share that `asked`, as "0/4", or the environment gives this process; all of it without either.

    Raises RequestError for anything but a number and a count with 0 <= number < count.
    """
    if asked is not None:
        return _share(*asked.partition("/")[::2], said_by=f"--host {asked}")
    for number, count in RANKS:
        if number in environment and count in environment:
            return _share(environment[number], environment[count], said_by=number)
    # TPU VMs know their place in a slice, and every host's name.
    if "TPU_WORKER_ID" in environment and environment.get("TPU_WORKER_HOSTNAMES"):
        hosts = len(environment["TPU_WORKER_HOSTNAMES"].split(","))
        return _share(environment["TPU_WORKER_ID"], str(hosts), said_by="TPU_WORKER_ID")
    return Share(0, 1, "")


def _share(number: str, count: str, said_by: str) -> Share:
    if _is_count(number) and _is_count(count) and int(number) < int(count):
        return Share(int(number), int(count), said_by)
    raise RequestError(
        f"{said_by[:60]}: host {number[:20]} of {count[:20] or '?'}; give I/N with 0 <= I < N, for example --host 0/4"
    )


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 7
