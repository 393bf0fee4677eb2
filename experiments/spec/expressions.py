"""What a model of one's own costs, written as arithmetic over its settings: `12 * config.depth * config.width ** 2`.

Numbers, names, + - * / ** and parentheses; a parser of Python's reads it, and what is not one of these is refused, so
a spec can reckon and do nothing else.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping

from dit_grid.experiments.spec.validate import nearest

LONGEST = 500
"""Characters; Python's parser itself gives up on what is nested too deep."""

OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Pow: math.pow,
}  # fmt: skip
SIGNS: dict[type[ast.unaryop], Callable[[float], float]] = {ast.USub: operator.neg, ast.UAdd: operator.pos}


class ExpressionError(ValueError):
    """The text is no expression of these, or has no value."""


def evaluate(text: str, names: Mapping[str, object]) -> float:
    """Return the value of the expression, a finite number; `names` are dotted, e.g. `config.width`.

    Raises ExpressionError for an unknown name, a name that is no number, anything but arithmetic, and no finite value.
    """
    if len(text) > LONGEST:
        raise ExpressionError(f"{len(text)} characters; at most {LONGEST} are read, use module:function for more")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionError(f"{text!r} is no expression; write e.g. 2 * config.width ** 2") from None
    try:
        value = _value(tree, names)
    except (ZeroDivisionError, OverflowError, ValueError) as error:
        if isinstance(error, ExpressionError):
            raise
        raise ExpressionError(f"{text!r} has no value here: {error}") from None
    if not math.isfinite(value):
        raise ExpressionError(f"{text!r} is {value}, not a finite number")
    return value


def _value(node: ast.expr, names: Mapping[str, object]) -> float:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return float(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return OPERATORS[type(node.op)](_value(node.left, names), _value(node.right, names))
    if isinstance(node, ast.UnaryOp) and type(node.op) in SIGNS:
        return SIGNS[type(node.op)](_value(node.operand, names))
    if isinstance(node, ast.Name | ast.Attribute):
        return _named(ast.unparse(node), names)
    raise ExpressionError(f"{ast.unparse(node)!r}: only numbers, config fields, + - * / ** and parentheses are read")


def _named(name: str, names: Mapping[str, object]) -> float:
    if name not in names:
        raise ExpressionError(f"unknown name {name!r}{nearest(name, names)}; known: {', '.join(sorted(names))}")
    value = names[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ExpressionError(f"{name} is {value!r}, not a number")
    return float(value)
