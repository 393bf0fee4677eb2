"""The process of one contestant: it does its work once for every line on standard input, and answers with seconds.

`python -m dit_grid.orchestrator.bench.worker MODULE WHO CASE THREADS CLOCK bound|free`. What libraries print goes to
standard error, so that nothing but answers is on standard output.
"""

import importlib
import os
import sys
import time


def main() -> None:
    """Do the work once to warm up, and then again for each line; what is "bound" has the last cores and no others."""
    module, who, case, threads, clock, place = sys.argv[1:]
    answers, sys.stdout = os.fdopen(os.dup(1), "w"), sys.stderr
    os.dup2(2, 1)
    if place == "bound":
        _bind(int(threads))
    work = importlib.import_module(module).WAYS[who](case, int(threads))
    now = time.process_time if clock == "processor" else time.perf_counter
    work()
    for _ in sys.stdin:
        began = now()
        work()
        print(now() - began, file=answers, flush=True)


def _bind(threads: int) -> None:
    """Use so many cores, and no more threads than that, before any library counts them."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    os.environ |= {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}


if __name__ == "__main__":
    main()
