"""All that is wrong with a spec and can be known without a device, in one round, its groups and what it needs included.

What is asked is what `plan` and `launch` ask one after another; here a mistake of one kind hides none of another.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from dit_grid.experiments.running.needed_files import missing_files, missing_trainers, spec_mistakes
from dit_grid.experiments.spec import AnyRun, ExperimentSpec, Problem, SpecError, load_spec
from dit_grid.orchestrator.advice.until import asked_until
from dit_grid.orchestrator.control.errors import RequestError


class Checked(NamedTuple):
    """What was found: how many runs the spec asks for (of each group besides), what is wrong, what is seldom meant."""

    runs: int
    groups: dict[str, int]
    problems: list[Problem]
    notes: list[str]


def checked(file: str) -> Checked:
    """Return what is wrong with the spec in the file. What lies in a bucket is taken to be there.

    What runs need is looked at also where something else in the file is wrong.
    """
    spec, runs, problems = _loaded(file)
    grown: dict[str, int] = {}
    for group in spec.groups if spec else ():
        _, with_group, more = _loaded(file, [group])
        problems += more
        grown[group] = len(with_group) - len(runs)
        runs = list({run.id: run for run in (*runs, *with_group)}.values())
    own = len(runs) - sum(grown.values())
    problems += _wider(spec, runs, file)
    return Checked(own, grown, list(dict.fromkeys(problems)), list(spec.notes) if spec else [])


def _loaded(file: str, groups: Iterable[str] = ()) -> tuple[ExperimentSpec | None, list[AnyRun], list[Problem]]:
    try:
        spec = load_spec(file, groups)
    except SpecError as error:
        return None, list(error.sound), error.problems
    return spec, list(spec.runs), []


def _wider(spec: ExperimentSpec | None, runs: list[AnyRun], file: str) -> list[Problem]:
    """What the runs need and what the spec asks for beside them."""
    found = [*spec_mistakes(runs, file, remote=False), *missing_files(runs, file, remote=False)]
    found += missing_trainers(runs, file)
    return found if spec is None else [*found, *_until(spec), *_store(spec)]


def _until(spec: ExperimentSpec) -> list[Problem]:
    try:
        asked_until(spec, None, None, "finish")
    except RequestError as error:
        place = f"{spec.file}: until: "
        return [Problem(spec.file, 0, "until", str(error).removeprefix(place))]
    return []


def _store(spec: ExperimentSpec) -> list[Problem]:
    """Whether the store's folder can be made, or written where it is."""
    if "://" in spec.store:
        return []
    nearest = next(path for path in (Path(spec.store), *Path(spec.store).absolute().parents) if path.exists())
    if not nearest.is_dir():
        return [Problem(spec.file, 0, "store", f"{spec.store}: {nearest} is a file; name a folder")]
    if not os.access(nearest, os.W_OK | os.X_OK):
        return [Problem(spec.file, 0, "store", f"{spec.store}: {nearest} may not be written; name another folder")]
    return []
