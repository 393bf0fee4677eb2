"""The JSON Schema of a spec, made from the records, for editors that complete and check YAML.

It says what each value may be by itself; what must fit together, `load_spec` says. Draft 7, which every editor has.
It is shipped as a file (`schema_file`).
"""

import json
from collections.abc import Iterator

from dit_grid.experiments.spec.described import Schema, as_written, described, published
from dit_grid.experiments.spec.expand import OBJECTIVE
from dit_grid.experiments.spec.keys import fields_of, inner_record
from dit_grid.experiments.spec.record import Record
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.spec.trainer import TrainerRun

SHARED = {
    "grid": "Dotted key -> list of values; every combination is a run.",
    "sizes": "Name -> width, depth and heads of a `model.size`.",
    "objectives": "Name -> settings that go together; `objective: [NAME, …]` in the grid crosses them with models.",
    "overrides": "Pattern of models -> settings laid over theirs.",
    "include": "Patterns of the models to keep; all are if left out.",
    "exclude": "Patterns of the models to leave out.",
    "runs": "Further runs, each with what differs from the shared settings.",
    "groups": "Name -> further runs, added by `--group NAME`.",
}
"""The sections that are no part of a record: they make runs out of the others."""

_BY_TRAINER: Schema = {
    "if": {"required": ["trainer"]},
    "then": {
        "properties": {
            "train": {"$ref": "#/definitions/OwnTrainSpec"},
            **{name: False for name in RunSpec.model_fields if name not in TrainerRun.model_fields},
        }
    },
}
"""With a trainer of one's own a run is another record."""


def spec_schema() -> Schema:
    """The schema of a whole spec, as plain JSON values."""
    records = dict(published())
    head, ours, own = (records.pop(name)["properties"] for name in ("ExperimentSpec", "RunSpec", "TrainerRun"))
    run = own | ours  # of either kind; our `train` takes whatever another's does
    shape: Schema = {"type": "object", "additionalProperties": False}
    of_run = shape | {"properties": run} | _BY_TRAINER
    extra = of_run | {"properties": run | {OBJECTIVE: {"type": "string"}}}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A spec of dit-grid",
        **shape,
        "required": ["name", "store"],
        "properties": head | run | {name: _section(name) | {"description": why} for name, why in SHARED.items()},
        **_BY_TRAINER,
        "definitions": {**records, "Run": of_run, "ExtraRun": extra},
    }


def spec_schema_text() -> str:
    """The schema as it is shipped."""
    return json.dumps(spec_schema(), indent=1, ensure_ascii=False) + "\n"


def _section(name: str) -> Schema:
    patterns = {"type": "array", "items": {"type": "string"}}
    runs = {"type": "array", "items": {"$ref": "#/definitions/ExtraRun"}}
    kinds: dict[str, Schema] = {
        "grid": _grid(),
        "sizes": _named("SizeSpec"),
        "objectives": _named("Run"),
        "overrides": _named("Run"),
        "include": patterns,
        "exclude": patterns,
        "runs": runs,
        "groups": {"type": "object", "additionalProperties": runs},
    }
    return kinds[name] | {"description": SHARED[name]}


def _named(definition: str) -> Schema:
    return {"type": "object", "additionalProperties": {"$ref": f"#/definitions/{definition}"}}


def _grid() -> Schema:
    """A list for every dotted key of a run; what an own trainer's config holds is free."""
    free = {"type": "array", "minItems": 1}
    axes = {key: free | {"items": one} for key, one in _dotted(RunSpec)} | {OBJECTIVE: free}
    own = {key: free | {"items": one} for key, one in _dotted(TrainerRun)}
    open_ended = r"^(config|evaluate\.files|metrics)\."
    axes_of_names = {"properties": own | axes, "patternProperties": {open_ended: free}}
    return {"type": "object", "additionalProperties": False} | axes_of_names


def _dotted(record: type[Record], prefix: str = "") -> Iterator[tuple[str, Schema]]:
    """Each dotted key under a record, with the schema of its value."""
    properties = described()[record.__name__]["properties"]
    written = as_written(record.__name__, {"properties": properties})
    written = written["anyOf"][1] if "anyOf" in written else written
    for name, field in fields_of(record).items():
        yield f"{prefix}{name}", {key: value for key, value in written["properties"][name].items() if key != "default"}
        inside = inner_record(field)
        if inside and properties[name].get("type") not in ("array", "object"):
            yield from _dotted(inside, f"{prefix}{name}.")
