"""Every key of a spec as the records have it: its unit, its one line of why, and whether it changes a run's id.

Unit and why stand in the source, in the text under each field; `schema` makes an editor's file of it and `reference` a
page. Nothing is checked here.
"""

import ast
import inspect
import itertools
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pydantic.fields import FieldInfo

from dit_grid.experiments.spec.experiment import ExperimentSpec, SizeSpec
from dit_grid.experiments.spec.record import Record
from dit_grid.experiments.spec.run import PLACES, RunSpec
from dit_grid.experiments.spec.trainer import OWN_IDENTITY, TrainerRun
from dit_grid.experiments.spec.validate import record_in

_UNIT = re.compile(r"\[([^]]+)\] (.*)", re.DOTALL)


class Said(NamedTuple):
    """What the source says of a field; `unit` is empty where it has none."""

    unit: str
    why: str


@cache
def said_of(record: type[Record]) -> dict[str, Said]:
    """Field -> what is said of it, by the text under it in the source. A field without a text is missing."""
    tree = ast.parse(Path(inspect.getfile(record)).read_text(encoding="utf-8"))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == record.__name__)
    found: dict[str, Said] = {}
    for field, text in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and _is_text(text):
            words = " ".join(ast.literal_eval(text.value).split())  # type: ignore[attr-defined]
            unit = _UNIT.fullmatch(words)
            found[field.target.id] = Said(unit[1], unit[2]) if unit else Said("", words)
    return found


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def fields_of(record: type[Record]) -> dict[str, FieldInfo]:
    """The fields of a record that stand in a spec: of the whole spec those that the file says itself."""
    made = ("runs", "file", "groups", "notes") if record is ExperimentSpec else ()
    return {name: field for name, field in record.model_fields.items() if name not in made}


def inner_record(field: FieldInfo) -> type[Record] | None:
    """The record that a field holds, or holds a list or a mapping of."""
    found: type[Record] | None = record_in(field.annotation)
    return found


def changes_id(root: type[Record], path: tuple[str, ...]) -> bool:
    """Whether another value under the dotted path of a run, or of the whole spec, gives a run another id."""
    if root is SizeSpec:
        return True  # a size is the model's width, depth and heads
    if root is TrainerRun:
        return path[0] in OWN_IDENTITY
    if root is not RunSpec:
        return False
    place = PLACES.get(path[0], ())
    return place is not True and (len(path) == 1 or path[1] not in place)
