"""Names of a package that load their module on first use, so that a small question does not pay for every import.

A door names what it offers once, as imports for type checkers:

    if TYPE_CHECKING:
        from dit_grid.model.config import DiTConfig as DiTConfig

    __getattr__, __dir__ = on_first_use(__name__)

What is here is PEP 562 and the reading of that block, nothing else.
"""

import ast
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any


def on_first_use(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The `__getattr__` and `__dir__` of `package`: names of its `if TYPE_CHECKING` block, each from its module there.

    Another name is an AttributeError that lists them.
    """

    def find(name: str) -> Any:
        found = homes(package)
        if name.startswith("__") or name not in found:
            raise AttributeError(f"{package} has no {name!r}; it has {', '.join(sorted(found))}")
        return getattr(import_module(found[name]), name)

    return find, lambda: sorted(homes(package))


@cache
def homes(package: str) -> dict[str, str]:
    """Name -> module, of what the package's own source imports for type checkers."""
    source = Path(str(sys.modules[package].__file__)).read_text(encoding="utf-8")
    blocks = [node for node in ast.parse(source).body if isinstance(node, ast.If)]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}
