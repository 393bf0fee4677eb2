"""The `cost:` section of one's own trainer, in numbers: each a number already, an expression, or a function's answer.

A function is the user's code and runs here, with the run's config; a mistake in it is one line that says where.
"""

import importlib
import math
import sys
from collections.abc import Mapping
from typing import Any

from dit_grid.experiments.spec.expressions import ExpressionError, evaluate
from dit_grid.experiments.spec.source import Located, Problem
from dit_grid.experiments.spec.trainer import FUNCTION, CostNumbers, flat
from dit_grid.experiments.spec.validate import nearest

WHOLE = ("params", "tokens")
"""What is counted; a fraction of one is rounded."""


def priced(run: Located, folder: str) -> tuple[dict[str, float] | None, list[Problem]]:
    """Return the sound numbers of the run's `cost:` and every mistake in it; None where it has none.

    Functions are looked for in `folder` first.
    """
    section = run.value.get("cost")
    if section is None or section.value is None:
        return None, []
    if not isinstance(section.value, dict):
        return None, [_problem(section, "cost", f"got {section.plain()!r}; must be a mapping of {_known()}")]
    config = run.value["config"].plain() if "config" in run.value else {}
    train = run.value["train"].plain() if "train" in run.value else {}
    found, problems = dict[str, float](), list[Problem]()
    for name, item in section.value.items():
        if name not in CostNumbers.model_fields:
            message = f"unknown field{nearest(name, CostNumbers.model_fields)}; known here: {_known()}"
            problems.append(_problem(item, f"cost.{name}", message))
            continue
        try:
            value = _number(item.value, config, train, folder)
        except ExpressionError as error:
            problems.append(_problem(item, f"cost.{name}", str(error)))
            continue
        number = round(value) if name in WHOLE else value
        if number > 0:
            found[name] = number
        else:
            problems.append(_problem(item, f"cost.{name}", f"is {value:g}; must be more than 0"))
    return found, problems


def _known() -> str:
    return ", ".join(CostNumbers.model_fields)


def _problem(item: Located, path: str, message: str) -> Problem:
    return Problem(item.file, item.line, path, message)


def _number(value: Any, config: Any, train: Any, folder: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ExpressionError(f"got {value}; must be finite")
        return value
    if not isinstance(value, str):
        raise ExpressionError(f"got {value!r}; must be a number, an expression or module:function")
    if FUNCTION.fullmatch(value.strip()):
        return _answer(value.strip(), config, folder)
    # `steps` and `batch` make a whole run's training out of a forward pass
    sizes = {f"train.{key}": item for key, item in train.items()} if isinstance(train, dict) else {}
    return evaluate(value, {**flat(config, "config"), **sizes})


def _answer(name: str, config: Mapping[str, Any], folder: str) -> float:
    """Return what the user's function says of the config."""
    module, _, function = name.partition(":")
    before = list(sys.path)
    sys.path.insert(0, folder)
    try:
        value = getattr(importlib.import_module(module), function)(dict(config))
    except Exception as error:
        raise ExpressionError(f"{name} failed: {type(error).__name__}: {error}") from None
    finally:
        sys.path[:] = before
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ExpressionError(f"{name} gave {value!r}; must be a finite number")
    return value
