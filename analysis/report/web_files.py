"""The page's markup, style and script as one text: the modules in `web` in the order in which they need each other.

Nothing is fetched and nothing needs a build: each module becomes a function that returns what it exports.
"""

import re
from functools import cache
from importlib.resources import files

FOLDER = files("dit_grid.analysis.report") / "web"

_IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const) (\w+))", re.MULTILINE)


def filled(fields: dict[str, str]) -> str:
    """The page with its fields filled in; in one pass, so a run called {{data}} stays a name."""
    page = (FOLDER / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda place: fields[place[1]], page)


def style() -> str:
    """The style sheet."""
    return (FOLDER / "page.css").read_text(encoding="utf-8")


@cache
def script(start: str = "main") -> str:
    """The module and all that it imports, each once, what is needed before what needs it."""
    joined: dict[str, str] = {}
    _join(start, joined, ())
    return "\n".join(joined.values())


def _join(name: str, joined: dict[str, str], within: tuple[str, ...]) -> None:
    if name in joined:
        return
    if name in within:
        raise ValueError(f"web/{name}.js needs itself, by {' and '.join(within)}")
    text = (FOLDER / f"{name}.js").read_text(encoding="utf-8")
    for _, needed in _IMPORT.findall(text):
        _join(needed, joined, (*within, name))
    given = ", ".join(_EXPORT.findall(text))
    body = _EXPORT.sub("", _IMPORT.sub(r"const \1 = from_\2;", text))
    joined[name] = f"const from_{name} = (() => {{\n{body}return {{ {given} }};\n}})();"
