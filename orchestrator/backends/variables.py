"""The environment variables that the process of a run starts with; what must be set before libraries are loaded.

What the process then does is `worker`. A benchmark of training starts its process with the same ones.
"""

import os

from dit_grid.experiments.spec.any_run import AnyRun
from dit_grid.experiments.spec.run import RunSpec

TUNABLES = "GLIBC_TUNABLES"

MALLOC = ":".join(
    f"glibc.malloc.{setting}" for setting in ("hugetlb=1", "arena_max=1", "mmap_max=0", "trim_threshold=1000000000000")
)
"""Large arrays on pages of 2 MB, where the kernel leaves that to the program, and freed ones kept for the next update.
XLA takes its working memory afresh each time: given back and faulted in again by 4 kB, it costs 0.08 of an update's
0.25 s (S/8), and on a virtual machine that returns idle memory to its host 0.3 s more after each pause. One arena,
because those of threads are too small for it and give it back."""


ON_ONE_CORE = "--xla_cpu_multi_thread_eigen=false --xla_cpu_parallel_codegen_split_count=1"
"""A program for one core is computed by one thread, and made by one: XLA would cut it into 32 pieces of code, each with
what all share copied into it, for threads that only take turns. In one piece compiling takes an eighth less of the
processor; the code, and so every number, is the same."""


def environment(run: AnyRun, cache: str) -> dict[str, str]:
    """Return the environment variables that a worker for this run starts with; `cache` is for compiled programs."""
    is_cpu = run.execution.resources.kind == "cpu"
    variables = {
        "JAX_COMPILATION_CACHE_DIR": cache,
        # What compiles in less than a second is not worth a file in a bucket.
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0" if is_cpu else "1",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    if not is_cpu:
        return variables
    # How a trainer of one's own takes memory is its own affair.
    return variables | on_cores(run.execution.resources.count) | (memory_kept() if isinstance(run, RunSpec) else {})


def memory_kept() -> dict[str, str]:
    """Return those by which XLA's working memory stays a process's own; what the user has set besides stays."""
    return {TUNABLES: ":".join(filter(None, [os.environ.get(TUNABLES), MALLOC]))}


def on_cores(cores: int) -> dict[str, str]:
    """Return those of a process that computes on so many CPU cores.

    It gets exactly its own: numerical libraries that each start a thread a core would fight, and the order of a
    parallel sum would depend on the machine.
    """
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(cores))
    return {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ON_ONE_CORE if cores == 1 else "", **threads}
