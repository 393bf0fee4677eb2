"""A spec's text with more overrides: what stands there stays, comments outside of `overrides` included."""

import re
from typing import Any

import yaml

_BLOCK = re.compile(r"^overrides:.*\n(?:(?:[ #].*)?\n)*?(?=(?:(?:#.*)?\n)*(?:[^\s#]|\Z))", re.MULTILINE)
"""The section up to the next, without the comments and blank lines before that."""


def with_overrides(text: str, added: dict[str, Any]) -> str:
    """Return the YAML of a spec with the overrides added, after those that it has, which they are merged over."""
    text = text if text.endswith("\n") else text + "\n"
    old = yaml.safe_load(text).get("overrides") or {}
    merged = {name: fields for name, fields in old.items() if name not in added}
    merged |= {name: _merged(old.get(name, {}), fields) for name, fields in added.items()}
    block = as_yaml(merged)
    if _BLOCK.search(text):
        return _BLOCK.sub(lambda _: block, text, count=1)
    return f"{text}\n{block}"


def as_yaml(overrides: dict[str, Any]) -> str:
    """Return the section as a spec writes it, a model a line."""
    lines = (f"  {_flow(name)}: {_flow(fields)}\n" for name, fields in overrides.items())
    return "overrides:\n" + "".join(lines)


def _flow(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=100_000)
    return text.removesuffix("\n").removesuffix("\n...")


def _merged(old: Any, new: Any) -> Any:
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return {**old, **{name: _merged(old.get(name), value) for name, value in new.items()}}
