"""From a located tree to a checked record: pydantic finds the mistakes, this module says them in one line each."""

import difflib
import inspect
import typing
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from dit_grid.experiments.spec.source import Located, Problem, shown

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], tree: Located, values: Any = None) -> tuple[Model | None, list[Problem]]:
    """Return the record that `tree` describes, or None and every mistake in it.

    `values` is the tree's plain value, where parts of it are there already as checked records.
    """
    try:
        return model.model_validate(tree.plain() if values is None else values), []
    except ValidationError as error:
        return None, [_problem(model, tree, dict(found)) for found in error.errors(include_url=False)]


def nearest(name: str, known: typing.Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the closest known name, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _problem(model: type[BaseModel], tree: Located, found: dict[str, Any]) -> Problem:
    loc = tuple(found["loc"])
    place = tree.at(loc)
    return Problem(place.file, place.line, _dotted(loc), _message(model, loc, found))


def _dotted(loc: tuple[str | int, ...]) -> str:
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text


def _message(model: type[BaseModel], loc: tuple[str | int, ...], found: dict[str, Any]) -> str:
    kind, got, context = found["type"], found.get("input"), found.get("ctx", {})
    if kind == "extra_forbidden":
        known = sorted(_fields_at(model, loc[:-1]))
        return f"unknown field{nearest(str(loc[-1]), known)}; known here: {', '.join(known)}"
    if kind == "missing":
        return "missing; it has no default"
    if kind == "literal_error":
        names = [name.strip().strip("'") for name in context["expected"].replace(" or ", ", ").split(",")]
        return f"got {shown(got)}{nearest(str(got), names)}; allowed: {', '.join(names)}"
    if kind == "string_pattern_mismatch":
        return f"got {shown(got)}; must match {context['pattern']}"
    if kind == "value_error":
        return str(context["error"])
    rule = found["msg"][0].lower() + found["msg"][1:]
    return f"got {shown(got)}; {rule.replace('input should be', 'must be')}"


def _fields_at(model: Any, loc: tuple[str | int, ...]) -> set[str]:
    """Return the field names of the record that `loc` leads to."""
    for part in loc:
        if isinstance(part, str):
            model = record_in(model.model_fields[part].annotation)
    return set(model.model_fields)


def record_in(annotation: Any) -> Any:
    """Return the record class inside an optional, a tuple or an Annotated type."""
    if inspect.isclass(annotation) and typing.get_origin(annotation) is None:
        return annotation if issubclass(annotation, BaseModel) else None
    inner = (record_in(arg) for arg in typing.get_args(annotation))
    return next((record for record in inner if record is not None), None)
