"""The names of runs in a spec: what globs are matched against, before a run is checked or has an id.

Ids are `any_run`'s; what a run is called on screen is its own.
"""

from collections.abc import Iterable
from typing import Any

from dit_grid.experiments.spec.source import Located
from dit_grid.experiments.spec.trainer import PLACEHOLDER, flat, on_a_line


def name_of(run: Located, varied: Iterable[str]) -> str:
    """`XL/2`, or of one's own trainer its label, else which of the `varied` settings (dotted) it has."""
    fields = {key: item.plain() for key, item in run.value.items() if key in ("model", "config", "label")}
    if "trainer" in run.value:
        config = fields.get("config")
        config = config if isinstance(config, dict) else {}
        return _with_config(str(fields.get("label") or ""), config) or _own_name(config, varied)
    model = fields.get("model")
    model = model if isinstance(model, dict) else {}
    return f"{model.get('size')}/{model.get('patch')}"


def _with_config(label: str, config: dict[str, Any]) -> str:
    """The label with the fields of config that it names; what else it names is the run's to fill in, or to refuse."""
    there = flat(config, "config")
    return PLACEHOLDER.sub(lambda found: on_a_line(there[found[1]]) if found[1] in there else found[0], label)


def _own_name(config: dict[str, Any], varied: Iterable[str]) -> str:
    """What tells runs of one trainer apart: the settings that the spec varies, e.g. `width=64,depth=2`."""
    there = flat(config, "config")
    short = {dotted: dotted.rpartition(".")[2] for dotted in varied if dotted in there}
    if len(set(short.values())) < len(short):
        short = {dotted: dotted.removeprefix("config.") for dotted in short}
    return ",".join(f"{name}={on_a_line(there[dotted])}".replace(" ", "") for dotted, name in short.items())
