"""Programs that outlive the attempt they were made for: the next one in this process need not trace and compile again.

A run that is tried again, and the measurements of its checkpoints as jobs of their own, have the same program.
"""

import itertools

import jax

from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.training.update import Program

KEPT = 2
"""Programs kept, the latest used; a compiled one takes memory of its device."""

LET_GO = 16
"""Programs let go after which JAX's own caches are emptied: they keep the code of every network that the process ever
had, 25 MB for a run of the digits. What is kept here is made again then, from the files of compiled programs."""

_kept: dict[str, Program] = {}
_let_go = itertools.count(1)


def program_of(run: RunSpec) -> Program:
    """Return the program of the run: a kept one, if it is the same but for what is measured."""
    key = run.model_dump_json(exclude={"evaluate"})
    program = _kept.pop(key, None) or Program(run)
    _kept[key] = program
    while len(_kept) > KEPT:
        del _kept[next(iter(_kept))]
        if next(_let_go) % LET_GO == 0:
            jax.clear_caches()
    return program
