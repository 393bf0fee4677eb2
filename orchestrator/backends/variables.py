"""The environment variables that the process of a run starts with; what must be set before libraries are loaded.

What the process then does is `worker`. A benchmark of training starts its process with the same ones.
"""

from dit_grid.experiments.spec.any_run import AnyRun

HUGE_PAGES = "glibc.malloc.hugetlb=1"
"""Large arrays on pages of 2 MB where the kernel leaves that to the program. XLA takes its working memory afresh for
each update: on pages of 4 kB that is 48,000 page faults an update of S/8, 0.08 of its 0.25 s."""


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
    return variables | (on_cores(run.execution.resources.count) if is_cpu else {})


def on_cores(cores: int) -> dict[str, str]:
    """Return those of a process that computes on so many CPU cores.

    It gets exactly its own: numerical libraries that each start a thread a core would fight, and the order of a
    parallel sum would depend on the machine.
    """
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(cores))
    flags = "--xla_cpu_multi_thread_eigen=false" if cores == 1 else ""
    return {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, "GLIBC_TUNABLES": HUGE_PAGES, **threads}
