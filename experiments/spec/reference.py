"""The keys of a spec as a person looks them up: rows for a terminal, and the page `docs/spec.md`.

What is said comes from the records (`keys`, `described`); nothing of it is written here.
"""

import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

from pydantic.fields import FieldInfo

from dit_grid.experiments.spec.described import Schema, described
from dit_grid.experiments.spec.experiment import ExperimentSpec, SizeSpec
from dit_grid.experiments.spec.keys import changes_id, fields_of, inner_record, said_of
from dit_grid.experiments.spec.record import Record
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.spec.schema import SHARED
from dit_grid.experiments.spec.trainer import OwnTrainSpec, TrainerRun

TITLES: dict[type[Record], str] = {
    ExperimentSpec: "The whole spec",
    SizeSpec: "A size",
    RunSpec: "A run",
    TrainerRun: "A run of your own trainer",
}
PREFIX: dict[type[Record], tuple[str, ...]] = {SizeSpec: ("sizes", "NAME")}
"""Where a record stands in the file that is no section of its own."""

NOTHING = "nothing"
"""How a default is written that is no value."""

HEAD = """# Every key of a spec

Made from the records by `python docs/write_reference.py`; a test fails when it is stale. `dit-grid spec keys train`
prints the same in a terminal, `dit-grid spec schema` the JSON Schema that the shipped YAML files name for editors;
`dit-grid spec check FILE` says all that is wrong with a file.

"id" says whether another value gives a run another id, and so makes it another run. The runs of a spec are what its
`grid` crosses, laid over the sections that all share, then `overrides` by pattern, and further `runs`
([the tutorial](tutorial.md) has whole ones).
"""


class Key(NamedTuple):
    """One key of a spec, in words; `unit` and `allowed` are empty where there is nothing to say."""

    key: str
    type: str
    unit: str
    default: str
    allowed: str
    changes_id: bool
    why: str


class Section(NamedTuple):
    """The keys of one record, and what the record says of itself."""

    title: str
    text: str
    keys: list[Key]


def sections() -> Iterator[Section]:
    """Every record that a spec is made of, in the order of a file, each once where it first stands."""
    seen: set[type[Record]] = set()
    for root, title in TITLES.items():
        yield from _sections(root, root, PREFIX.get(root, ()), title, seen)


def matching(pattern: str) -> list[Key]:
    """The keys that `pattern` is, begins, or stands in; of none, nothing."""
    found = [key for section in sections() for key in section.keys]
    below = [key for key in found if key.key == pattern or key.key.startswith(f"{pattern}.")]
    return below or [key for key in found if pattern in key.key]


def page() -> str:
    """The page as it stands in `docs/spec.md`."""
    parts = [HEAD, "## Sections that make runs\n\n| key | what it does |\n|---|---|"]
    parts[-1] += "".join(f"\n| `{name}` | {_cell(why)} |" for name, why in SHARED.items()) + "\n"
    return "\n".join([*parts, *map(_table, sections())])


def _sections(
    root: type[Record], record: type[Record], path: tuple[str, ...], title: str, seen: set[type[Record]]
) -> Iterator[Section]:
    if record in seen:
        return
    seen.add(record)
    properties = described()[record.__name__]["properties"]
    fields = fields_of(record)
    yield Section(
        title,
        " ".join(inspect.cleandoc(record.__doc__ or "").split()),
        [_key(root, record, (*path, name), field, properties[name]) for name, field in fields.items()],
    )
    for name, field in fields.items():
        if inside := inner_record(field):
            below = (*path, name + _many(properties[name]))
            of_own = " of your own trainer" if inside is OwnTrainSpec else ""
            yield from _sections(root, inside, below, f"`{'.'.join(below)}`{of_own}", seen)


def _many(schema: Schema) -> str:
    """How a key goes on that holds several records."""
    return {"array": "[]", "object": ".NAME"}.get(schema.get("type", ""), "")


def _key(root: type[Record], record: type[Record], path: tuple[str, ...], field: FieldInfo, schema: Schema) -> Key:
    name = path[-1]
    unit, why = said_of(record)[name]
    kind, allowed = _type_and_allowed(schema)
    plain = tuple(part.removesuffix("[]") for part in path)
    return Key(".".join(path), kind, unit, _default(field), allowed, changes_id(root, plain), why)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Record):
        return "its own"
    if value is None or (isinstance(value, tuple | dict | str) and not value):
        return NOTHING
    return str(value).lower() if isinstance(value, bool) else f"{value:_}" if isinstance(value, int) else str(value)


def _type_and_allowed(schema: Schema) -> tuple[str, str]:
    """The type in a word, and what of it is allowed."""
    if "anyOf" in schema:
        return _type_and_allowed(next(one for one in schema["anyOf"] if one.get("type") != "null"))
    if "$ref" in schema:
        return "mapping", ""
    if "enum" in schema:
        return "word", ", ".join(f"`{word}`" for word in schema["enum"])
    kind = schema.get("type", "")
    if kind in ("integer", "number"):
        return {"integer": "whole number", "number": "number"}[kind], _range(schema)
    if kind == "array" and "prefixItems" in schema:
        return "list", f"{len(schema['prefixItems'])} numbers"
    return {"string": "text", "boolean": "true or false", "array": "list", "object": "mapping"}[kind], _text(schema)


def _text(schema: Schema) -> str:
    return "letters, digits, . _ -" if "pattern" in schema else ""


def _range(schema: Schema) -> str:
    ends = [("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<")]
    return ", ".join(f"{sign} {_number(schema[end])}" for end, sign in ends if schema.get(end) is not None)


def _number(value: Any) -> str:
    """A bound, short: powers of two as such."""
    if isinstance(value, int) and abs(value) >= 2**20 and abs(value).bit_count() == 1:
        return f"{'-' if value < 0 else ''}2^{abs(value).bit_length() - 1}"
    return f"{value:g}"


def _table(section: Section) -> str:
    rows = [
        f"| `{key.key}` | {key.type} | {key.unit} | {_code(key.default)} | {_cell(key.allowed)} | "
        f"{'yes' if key.changes_id else 'no'} | {_cell(key.why)} |"
        for key in section.keys
    ]
    head = "| key | type | unit | default | allowed | id | why |\n|---|---|---|---|---|---|---|"
    return "\n".join([f"## {section.title}\n", f"{section.text}\n", head, *rows, ""])


def _code(default: str) -> str:
    return default if default in ("needed", "its own", NOTHING) else f"`{default}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
