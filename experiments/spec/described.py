"""Each record of a spec as JSON Schema, every field with its unit and its why, and what a file may say besides.

A file may name a function in place of a trainer, an expression in place of a cost, and write numbers that one version
of YAML takes for text. The whole spec is `schema`.
"""

from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema

from dit_grid.experiments.spec.experiment import ExperimentSpec, SizeSpec
from dit_grid.experiments.spec.keys import fields_of, inner_record, said_of
from dit_grid.experiments.spec.objective import SHORT_FORMS
from dit_grid.experiments.spec.record import Record
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.spec.track import TRACKERS
from dit_grid.experiments.spec.trainer import FUNCTION, TrainerRun

Schema = dict[str, Any]

ROOTS = (ExperimentSpec, SizeSpec, RunSpec, TrainerRun)
"""The records that a file is made of: its head, a size, a run of either kind."""

WHOLE = ("EvalSetting", "SizeSpec", "UntilSpec", "MeshSpec", "TrackSpec")
"""Records that are never put together from parts, so that what they need must stand there."""

SHORT: dict[str, Schema] = {
    "TrainerSpec": {"type": "string", "pattern": f"^{FUNCTION.pattern}$"},
    "TrackSpec": {"type": "string", "enum": list(TRACKERS)},
}
"""Records that a file may write as one word: a function's name, a tracker's."""

WHOLE_NUMBER = r"^[+-]?[0-9]+(_[0-9]+)*$"
"""400_000 and 1e-3, which one version of YAML has for numbers and the other for text; both are read as numbers."""
NUMBER = r"^[+-]?([0-9]+(_[0-9]+)*\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


@cache
def described() -> dict[str, Schema]:
    """Name of a record -> its schema as the record has it, each field with its why and its unit in brackets."""
    made = models_json_schema([(one, "validation") for one in ROOTS], ref_template="#/definitions/{model}")[1]["$defs"]
    return {name: _described(made[name], record) for name, record in records().items()}


@cache
def published() -> dict[str, Schema]:
    """The same as a file may write it."""
    return {name: as_written(name, one) for name, one in described().items()}


@cache
def records() -> dict[str, type[Record]]:
    """Name -> record, of all that a spec is made of, in the order of a file."""
    found: dict[str, type[Record]] = {}

    def add(record: type[Record]) -> None:
        if record.__name__ not in found:
            found[record.__name__] = record
            for field in fields_of(record).values():
                if inside := inner_record(field):
                    add(inside)

    for record in ROOTS:
        add(record)
    return found


def as_written(name: str, one: Schema) -> Schema:
    """The schema of the record `name`, or of a part of it, with what a file may say besides."""
    properties = {key: _in_place(name, key, value) for key, value in one["properties"].items()}
    mapping = one | {"properties": properties}
    return {"anyOf": [SHORT[name], mapping]} if name in SHORT else mapping


def _in_place(name: str, key: str, value: Schema) -> Schema:
    if name == "CostNumbers":  # which is reckoned
        return {"type": ["number", "string", "null"], "description": value["description"]}
    if name == "DiffusionSpec" and key in ("prediction", "loss"):
        value = _with_short_forms(value)
    if (name, key) == ("TrainerSpec", "command"):
        return value | {"anyOf": [{"type": "array", "minItems": 1, "items": {"type": ["string", "number"]}}]}
    return widened(value)


def _described(made: Schema, record: type[Record]) -> Schema:
    properties = {name: made["properties"][name] for name in fields_of(record)}
    for name, one in properties.items():
        one.pop("title", None)
        said = said_of(record)[name]
        one["description"] = f"{said.why} ({said.unit})" if said.unit else said.why
    kept: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return kept | ({"required": made["required"]} if record.__name__ in WHOLE and "required" in made else {})


def widened(one: Any) -> Any:
    """The schema of a value that also takes numbers that are read as text; references are wrapped for draft 7."""
    if not isinstance(one, dict):
        return one
    if "$ref" in one and len(one) > 1:
        return {k: v for k, v in one.items() if k != "$ref"} | {"allOf": [{"$ref": one["$ref"]}]}
    if one.get("type") in ("integer", "number"):
        about = {key: value for key, value in one.items() if key in ("default", "description")}
        bounds = {key: value for key, value in one.items() if key not in about}
        return about | {"anyOf": [bounds, {"type": "string", "pattern": _pattern(bounds)}]}
    changed: Schema = {}
    for key, value in one.items():
        if key == "prefixItems":
            changed["items"] = [widened(item) for item in value]
        elif key == "anyOf":
            changed[key] = [widened(item) for item in value]
        else:
            changed[key] = widened(value) if key in ("items", "additionalProperties") else value
    return changed


def _pattern(bounds: Schema) -> str:
    """The text of a number; without a minus where there are no negative ones."""
    pattern = WHOLE_NUMBER if bounds["type"] == "integer" else NUMBER
    least: Any = bounds.get("minimum", bounds.get("exclusiveMinimum", -1))
    return pattern.replace("[+-]?", r"\+?", 1) if least >= 0 else pattern


def _with_short_forms(one: Any) -> Any:
    if isinstance(one, dict):
        return {k: [*v, *SHORT_FORMS] if k == "enum" else _with_short_forms(v) for k, v in one.items()}
    return [_with_short_forms(item) for item in one] if isinstance(one, list) else one
