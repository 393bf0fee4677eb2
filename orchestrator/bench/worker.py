"""The process of one contestant: for every line on standard input it works a while, and answers with seconds a piece.

`python -m dit_grid.orchestrator.bench.worker MODULE WHO CASE THREADS CLOCK bound|free TURN_S`. What libraries print
goes to standard error, so that nothing but answers is on standard output.
"""

import importlib
import os
import sys
import time


def main() -> None:
    """Warm up, and then work a turn for each line; what is "bound" has the last cores and no others."""
    module, who, case, threads, clock, place, turn_s = sys.argv[1:]
    answers, sys.stdout = os.fdopen(os.dup(1), "w"), sys.stderr
    os.dup2(2, 1)
    if place == "bound":
        _bind(int(threads))
    work = importlib.import_module(module).WAYS[who](case, int(threads))
    now = time.process_time if clock == "processor" else time.perf_counter
    work()
    pieces = 1
    for _ in sys.stdin:
        if pieces > 1:
            work()
        began = now()
        for _ in range(pieces):
            work()
        seconds = (now() - began) / pieces
        print(seconds, file=answers, flush=True)
        pieces = max(pieces, round(float(turn_s) / seconds))


def _bind(threads: int) -> None:
    """Use so many cores, and no more threads than that, before any library counts them."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    os.environ |= {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}


if __name__ == "__main__":
    main()
