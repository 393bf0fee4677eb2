"""One spec into its runs: the cartesian grid, extra runs and groups, overrides by glob, include and exclude.

Every mistake is collected before any is reported; a spec with a mistake gives no run at all.
"""

import itertools
import math
import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from dit_grid.experiments.spec.any_run import AnyRun
from dit_grid.experiments.spec.experiment import HEAD_SECTIONS, ExperimentSpec, SizeSpec
from dit_grid.experiments.spec.notes import average_notes, size_notes
from dit_grid.experiments.spec.own_costs import priced
from dit_grid.experiments.spec.price import with_rows
from dit_grid.experiments.spec.record import Record
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.spec.run_names import name_of
from dit_grid.experiments.spec.source import Located, Problem, SpecError, read_yaml, shown
from dit_grid.experiments.spec.trainer import TrainerRun, flat
from dit_grid.experiments.spec.validate import nearest, validated
from dit_grid.model.config import SIZES

RUN_SECTIONS = tuple(dict.fromkeys((*RunSpec.model_fields, *TrainerRun.model_fields)))
MOST_RUNS = 100_000
"""Runs of the largest grid that is expanded: ten times what was tried. More is a mistake that fills the memory."""

MEASURED = ("model", "data", "diffusion", "evaluate")
"""The sections of a run that say what it needs; a mistake elsewhere is no reason not to look."""
MOST_MENDED = 100
"""Runs with mistakes that are looked at further; one grid's have the same needs."""

GRID_SECTIONS = ("grid", "sizes", "objectives", "overrides", "include", "exclude", "runs", "groups")

OBJECTIVE = "objective"
"""The axis of a grid whose values are names of `objectives`: settings of any section that go together."""


def load_spec(path: str | Path, groups: Iterable[str] = ()) -> ExperimentSpec:
    """Return the spec in the YAML file, its grid expanded and the named groups of extra runs added.

    Raises SpecError with every mistake of the file, each with its line, the value and what is allowed.
    """
    return _Expansion(read_yaml(Path(path)), tuple(groups)).experiment()


class _Expansion:
    """The expansion of one file; collects problems until the end."""

    def __init__(self, tree: Located, groups: tuple[str, ...]) -> None:
        self.tree, self.groups = tree, groups
        self.problems: list[Problem] = []
        self.globs_used: set[int] = set()
        self.sizes_asked: dict[str, Located] = {}
        self.mended: list[AnyRun] = []
        self._records: dict[int, tuple[Located, Record | None]] = {}
        self.varied = tuple(dict.fromkeys(self._varied()))

    def experiment(self) -> ExperimentSpec:
        head = self._head()
        runs = self._runs()
        self.problems = list(dict.fromkeys(self.problems))
        if not self.problems and not runs:
            self._problem(self.tree, "", "asks for no run: `grid` and `runs` are empty or everything is excluded")
        self._check_transfer(runs)
        if self.problems or head is None:
            raise SpecError(self.problems, [*runs, *self.mended])
        available = tuple(self._section("groups", dict))
        asked = {"runs": tuple(runs), "file": self.tree.file, "groups": available, "notes": self._notes(runs)}
        plan = with_rows(head.plan, Path(self.tree.file).resolve().parent)
        return head.model_copy(update=asked | {"plan": plan})

    def _notes(self, runs: list[AnyRun]) -> tuple[str, ...]:
        """What is said of the spec; a size that only a group not asked for has is not unused."""
        of_groups = {size.value: size for size in self._sizes_of_groups() if isinstance(size.value, str)}
        own = self._section("sizes", dict)
        unused = {name: item for name, item in of_groups.items() if name in own}
        sizes = size_notes(own, unused | self.sizes_asked)
        return (*sizes, *average_notes(self.tree.file, (run for run in runs if isinstance(run, RunSpec))))

    def _sizes_of_groups(self) -> Iterator[Located]:
        for group in self._section("groups", dict).values():
            for run in group.value if isinstance(group.value, list) else ():
                yield run.at(("model", "size"))

    def _head(self) -> ExperimentSpec | None:
        """Check the top level: its own fields, and that no other name stands there."""
        known = {*HEAD_SECTIONS, *RUN_SECTIONS, *GRID_SECTIONS}
        for key, item in self.tree.value.items():
            if key not in known:
                names = ", ".join(sorted(known))
                self._problem(item, key, f"unknown section{nearest(key, known)}; known: {names}")
        fields = {key: item for key, item in self.tree.value.items() if key in HEAD_SECTIONS}
        head, problems = validated(ExperimentSpec, Located(fields, self.tree.file, self.tree.line))
        self.problems += problems
        return head

    def _runs(self) -> list[AnyRun]:
        trees = [run for run in map(self._overridden, self._drafts()) if self._selected(run)]
        self._unused_globs(trees)
        runs: dict[str, AnyRun] = {}
        for tree in trees:
            run, problems = self._own_run(tree) if "trainer" in tree.value else self._run(tree)
            self.problems += problems
            if run is not None and run.id in runs:
                self._problem(tree, "", f"the run {run.model.name} ({run.id}) is asked for twice; remove one")
            elif run is not None:
                runs[run.id] = run
        return list(runs.values())

    def _run(self, tree: Located) -> tuple[AnyRun | None, list[Problem]]:
        run, problems = validated(RunSpec, tree, self._sections(tree))
        if problems and len(self.mended) < MOST_MENDED:
            self.mended += _mended(tree, problems)
        return run, problems

    def _own_run(self, tree: Located) -> tuple[AnyRun | None, list[Problem]]:
        """The run of one's own trainer: its costs reckoned, its label made, and the spec's folder to look in."""
        folder = str(Path(self.tree.file).resolve().parent)
        cost, problems = priced(tree, folder)
        named: dict[str, Any] = {"folder": folder, "label": self._name_of(tree)}
        if cost is not None or problems:
            named["cost"] = cost or {}  # what is wrong with it is said already
        run, wrong = validated(TrainerRun, tree, tree.plain() | named)
        if run is None or problems:
            return None, [*problems, *wrong]
        return run.model_copy(update={"label": run.filled(run.label)}), wrong

    def _sections(self, tree: Located) -> dict[str, Any]:
        """Return the run's values, with a checked record for every section that it shares with an earlier run."""
        return {key: self._section_record(key, item) for key, item in tree.value.items()}

    def _section_record(self, key: str, item: Located) -> Any:
        kind = RunSpec.model_fields[key].annotation if key in RunSpec.model_fields else None
        if not (isinstance(kind, type) and issubclass(kind, Record)):
            return item.plain()
        if id(item) not in self._records:
            self._records[id(item)] = item, validated(kind, item)[0]  # the item is kept, so that its id stays its own
        record = self._records[id(item)][1]
        return item.plain() if record is None else record  # of a wrong one the run's own check says what is wrong

    def _drafts(self) -> Iterator[Located]:
        """Yield the tree of every run: the grid's, the extra ones, then those of the chosen groups."""
        sections = {key: item for key, item in self.tree.value.items() if key in RUN_SECTIONS}
        base = Located(sections, self.tree.file, self.tree.line)
        axes = {key: self._axis(key, item) for key, item in self._section("grid", dict).items()}
        if (asked := math.prod(map(len, axes.values()))) > MOST_RUNS:
            self._problem(
                self.tree.value["grid"], "grid", f"asks for {asked:,} runs; at most {MOST_RUNS:,} are planned"
            )
        elif axes:
            for choice in itertools.product(*axes.values()):
                yield self._sized(self._laid(base, dict(zip(axes, choice, strict=True))))
        for extra in [*self._section("runs", list), *self._group_runs()]:
            if self._is_mapping(extra, "runs"):
                name, rest = _parted(extra)
                yield self._sized(self._with_objective(base, name).merged(rest))

    def _laid(self, base: Located, choice: dict[str, Located]) -> Located:
        base = self._with_objective(base, choice.get(OBJECTIVE))
        for dotted, value in choice.items():
            base = base if dotted == OBJECTIVE else base.merged(value.nested(dotted))
        return base

    def _with_objective(self, base: Located, name: Located | None) -> Located:
        """Lay what `objectives` has under the name over what all runs share."""
        if name is None:
            return base
        known = self._section("objectives", dict)
        if not isinstance(name.value, str) or name.value not in known:
            names = ", ".join(known) or "none; give each under `objectives`"
            got = shown(name.plain())
            self._problem(name, OBJECTIVE, f"got {got}{nearest(str(name.value), known)}; the file has: {names}")
            return base
        if not self._is_mapping(known[name.value], f"objectives.{name.value}"):
            return base
        return base.merged(known[name.value])

    def _axis(self, key: str, item: Located) -> list[Located]:
        if not isinstance(item.value, list) or not item.value:
            self._problem(item, f"grid.{key}", f"got {shown(item.plain())}; must be a list of values")
            return []
        return item.value

    def _group_runs(self) -> Iterator[Located]:
        known = self._section("groups", dict)
        for name in self.groups:
            if name not in known:
                names = ", ".join(sorted(known)) or "none"
                message = f"got {name!r}{nearest(name, known)}; the file has: {names}"
                self.problems.append(Problem(self.tree.file, 0, "groups", message))
            elif not isinstance(known[name].value, list):
                self._problem(known[name], f"groups.{name}", "must be a list of runs")
            else:
                yield from known[name].value

    def _sized(self, run: Located) -> Located:
        """Lay the named size's width, depth and heads under what the run says itself."""
        model = run.at(("model",))
        size = model.value.get("size") if isinstance(model.value, dict) and "model" in run.value else None
        if size is None or not isinstance(size.value, str):  # of what is no name the run's own check says so
            return run
        own = self._section("sizes", dict)
        if size.value in own:
            self.sizes_asked.setdefault(size.value, size)
            _, problems = validated(SizeSpec, own[size.value])
            self.problems += [Problem(p.file, p.line, f"sizes.{size.value}.{p.path}", p.message) for p in problems]
            fields = own[size.value]
        elif {"width", "depth", "heads"} <= model.value.keys():
            return run
        else:
            known = [*own, *SIZES]
            self.sizes_asked.setdefault(size.value, size)
            if size.value not in SIZES:
                names = ", ".join(dict.fromkeys(known))
                self._problem(
                    size, "model.size", f"got {shown(size.value)}{nearest(str(size.value), known)}; sizes: {names}"
                )
            shape = SIZES.get(size.value, SIZES["S"])  # any shape will do to look for further mistakes
            fields = Located(
                {k: Located(v, size.file, size.line) for k, v in shape._asdict().items()}, size.file, size.line
            )
        return Located({**run.value, "model": fields.merged(model)}, run.file, run.line)

    def _overridden(self, run: Located) -> Located:
        for glob, changes in self._section("overrides", dict).items():
            if fnmatchcase(self._name_of(run), glob):
                self.globs_used.add(id(changes))
                run = run.merged(changes) if self._is_mapping(changes, f"overrides.{glob}") else run
        return run

    def _selected(self, run: Located) -> bool:
        name, include, exclude = self._name_of(run), self._section("include", list), self._section("exclude", list)
        matched = [glob for glob in (*include, *exclude) if fnmatchcase(name, str(glob.value))]
        self.globs_used.update(map(id, matched))
        wanted = not include or any(glob in include for glob in matched)
        return wanted and not any(glob in exclude for glob in matched)

    def _name_of(self, run: Located) -> str:
        return name_of(run, self.varied)

    def _varied(self) -> Iterator[str]:
        """The config fields, dotted, that the grid or an extra run sets."""
        yield from (key for key in self._section("grid", dict) if key.startswith("config."))
        for extra in [*self._section("runs", list), *self._group_runs()]:
            inside = extra.value.get("config") if isinstance(extra.value, dict) else None
            if inside is not None and isinstance(inside.value, dict):
                yield from flat(inside.plain(), "config")

    def _unused_globs(self, runs: list[Located]) -> None:
        """A pattern that fits no run is a typing mistake, not a wish."""
        names = sorted({self._name_of(run) for run in runs})
        overrides = [(f"overrides.{glob}", glob, item) for glob, item in self._section("overrides", dict).items()]
        lists = [(key, str(glob.value), glob) for key in ("include", "exclude") for glob in self._section(key, list)]
        for path, glob, item in [*overrides, *lists]:
            if id(item) not in self.globs_used:
                self._problem(item, path, f"{glob!r} fits no run{nearest(glob, names)}; runs: {', '.join(names)}")

    def _is_mapping(self, item: Located, path: str) -> bool:
        """Whether settings are written as settings are; a problem if not."""
        if not isinstance(item.value, dict):
            self._problem(item, path, f"got {shown(item.plain())}; must be settings, such as {{train: {{batch: 64}}}}")
        return isinstance(item.value, dict)

    def _check_transfer(self, runs: list[AnyRun]) -> None:
        """Under mup all widths have heads of one width: with other heads attention's scale, and the optimum, moves."""
        heads: dict[int, str] = {}
        for run in runs:
            if isinstance(run, RunSpec) and run.train.parametrization == "mup":
                heads.setdefault(run.network.head_width, f"{run.model.name} {run.network.head_width}")
        if len(heads) > 1:
            said = f"mup with heads of different widths ({', '.join(heads.values())})"
            self._problem(
                self.tree, "train.parametrization", f"{said}: give each size as many heads as keep one width for all"
            )

    def _section(self, key: str, kind: type) -> Any:
        item = self.tree.value.get(key)
        if item is None or item.value is None:
            return kind()
        if not isinstance(item.value, kind):
            word = "a mapping" if kind is dict else "a list"
            self._problem(item, key, f"got {shown(item.plain())}; must be {word}")
            return kind()
        return item.value

    def _problem(self, item: Located, path: str, message: str) -> None:
        self.problems.append(Problem(item.file, item.line, path, message))


def _parted(run: Located) -> tuple[Located | None, Located]:
    """The objective that a run of its own names, and the rest of it."""
    if not isinstance(run.value, dict) or OBJECTIVE not in run.value:
        return None, run
    return run.value[OBJECTIVE], Located({k: v for k, v in run.value.items() if k != OBJECTIVE}, run.file, run.line)


def _mended(run: Located, problems: list[Problem]) -> list[RunSpec]:
    """The run with its mistaken sections as they are by default, where its model, data and measurements have none.

    So that what these need can be looked at in the same round.
    """
    if {re.split(r"[.[]", problem.path)[0] for problem in problems} & {"", *MEASURED}:
        return []
    kept = Located({key: run.value[key] for key in MEASURED if key in run.value}, run.file, run.line)
    mended = validated(RunSpec, kept)[0]
    return [mended] if mended is not None else []
