"""Calls a trainer that is a Python function, in a process of its own: `python -m … module:function [--check]`.

The function is looked for in the working folder, then among what is installed, and is given the run.
"""

import importlib
import sys
from collections.abc import Callable
from typing import Any

from dit_grid.experiments.trainers.client import current_run


def function_named(name: str) -> Callable[..., Any]:
    """Return the function `module:function`. Raises whatever importing the module raises."""
    module, _, attribute = name.partition(":")
    found = getattr(importlib.import_module(module), attribute, None)
    if not callable(found):
        raise ImportError(f"module {module!r} has no function {attribute!r}")
    return found


def main(arguments: list[str]) -> None:
    """Call the function, or with --check only find it."""
    sys.path.insert(0, "")
    function = function_named(arguments[0])
    if "--check" not in arguments:
        function(current_run)


if __name__ == "__main__":
    main(sys.argv[1:])
