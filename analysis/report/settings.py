"""The spec of the runs for a reader: what all of them share as YAML, and what they differ in, by name.

What is here reads the JSON that each run recorded of itself.
"""

import json
from typing import Any

import yaml

from dit_grid.analysis.results.frames import Results

NAMED = 6
"""Values of a setting that are listed; of more, their number."""


def settings(results: Results) -> tuple[str, list[str]]:
    """What all runs share, as YAML, and a line for each setting in which they differ."""
    specs = [flat(json.loads(text)) for text in results.runs["spec"].dropna() if text]
    names = list(dict.fromkeys(name for spec in specs for name in spec))
    values = {name: list(dict.fromkeys(json.dumps(spec.get(name)) for spec in specs)) for name in names}
    shared = {name: json.loads(found[0]) for name, found in values.items() if len(found) == 1}
    varied = [f"{name}: {_listed(found)}" for name, found in values.items() if len(found) > 1]
    return yaml.safe_dump(_nested(shared), sort_keys=False, width=100) if shared else "", varied


def _listed(found: list[str]) -> str:
    texts = [text.strip('"') for text in found]
    return ", ".join(texts) if len(texts) <= NAMED else f"{', '.join(texts[:NAMED])} and {len(texts) - NAMED} more"


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted name -> setting of a nested spec; a list is one setting."""
    if not isinstance(value, dict) or not value:
        return {prefix: value} if prefix else {}
    parts = [flat(item, f"{prefix}.{name}" if prefix else name) for name, item in value.items()]
    return {name: item for part in parts for name, item in part.items()}


def _nested(flat: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[last] = value
    return tree
