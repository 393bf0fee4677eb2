"""The spec that a command was given, checked as far as it can be without a device, with what is to be said of it.

Every command that plans, plays or runs a spec reads it here, so that all of them refuse the same.
"""

from collections.abc import Iterable

from dit_grid.experiments.spec import ExperimentSpec, load_spec
from dit_grid.orchestrator.advice.until import asked_until
from dit_grid.orchestrator.screen.prose import print_text


def asked_spec(path: str, groups: Iterable[str] = ()) -> ExperimentSpec:
    """Return the spec in the file; its notes go to standard error.

    Raises SpecError with every mistake of the file, RequestError for a target of `until` that cannot be read.
    """
    loaded = asked_until(load_spec(path, groups), None, None, "finish")
    for note in loaded.notes:
        print_text(f"note: {note}", err=True)
    return loaded
