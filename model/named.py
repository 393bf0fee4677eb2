"""What a model's name and the facts beside it say of a run that was made elsewhere: its shape and what it costs.

Nothing is guessed that the facts contradict; what is taken from the paper because nobody said it is told.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from dit_grid.model.accounting import forward_macs, trainable_params
from dit_grid.model.config import ADALN_ZERO, SIZES, ConfigError, DiTConfig

PAPER = {"image_size": 32, "channels": 4, "classes": 1000, "block": ADALN_ZERO}
"""What the names of the paper's models leave unsaid: 256 x 256 ImageNet as latents (Peebles & Xie 2022, section 4)."""

AGREE = 0.02
"""Share by which a stated number of parameters may differ from the network's, as a rounded one does."""

_NAME = re.compile(r"(?:DiT-)?([A-Za-z0-9._-]+)/(\d{1,4})")


class Derived(NamedTuple):
    """Facts that were not stated (`facts`), those of them taken from the paper, and why costs are unknown, if so."""

    facts: dict[str, Any]
    assumed: dict[str, Any]
    why: str


def derived_facts(said: Mapping[str, Any]) -> Derived:
    """The shape and costs of the network that `said` names, columns of the table of runs that it leaves out or null.

    `said` may hold model ("B/4"), size, patch, width, depth, heads, image_size, channels, classes, block, params,
    tokens, forward_macs. A paper's size stands for its shape; any other needs width, depth and heads.
    """
    known = {name: value for name, value in said.items() if _is_known(value)}
    facts: dict[str, Any] = {}
    if found := _NAME.fullmatch(str(known.get("model", ""))):
        facts = {"size": found[1], "patch": int(found[2])}
    both = facts | known
    facts |= {n: v for n, v in _shape_of(both.get("size")).items() if n not in known}
    both = facts | known
    lacking = [name for name in ("patch", "width", "depth", "heads") if name not in both]
    if lacking:
        return Derived(_new(facts, known), {}, f"{', '.join(lacking)} not said: {_fix(both)}")
    assumed = {name: value for name, value in PAPER.items() if name not in known}
    return _with_costs(facts | assumed, known, assumed)


def _with_costs(facts: dict[str, Any], known: dict[str, Any], assumed: dict[str, Any]) -> Derived:
    both = facts | known
    try:
        names = ("image_size", "patch", "width", "depth", "heads", "channels", "classes")
        shape: dict[str, Any] = {name: int(both[name]) for name in names}
        config = DiTConfig(**shape, block=str(both["block"]))
    except (ConfigError, ValueError) as error:
        return Derived(_new({n: v for n, v in facts.items() if n not in assumed}, known), {}, str(error))
    params, said = trainable_params(config), known.get("params")
    if said is not None and abs(said / params - 1) > AGREE:
        left = _new({n: v for n, v in facts.items() if n not in assumed}, known)
        why = f"params {said:,.0f}, but {both.get('model', 'it')} at image_size {config.image_size} has {params:,}"
        return Derived(left, {}, f"{why}: say image_size, channels, width, depth and heads as they were")
    facts |= {"params": params, "tokens": config.tokens, "forward_macs": forward_macs(config)}
    return Derived(_new(facts, known), assumed, "")


def _shape_of(size: Any) -> dict[str, int]:
    return SIZES[size]._asdict() if size in SIZES else {}


def _new(facts: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in known}


def _fix(both: Mapping[str, Any]) -> str:
    if "patch" not in both:
        return "name the model as SIZE/PATCH, e.g. B/4, or say params, tokens and forward_macs"
    return f"size {both.get('size')!r} is none of {', '.join(SIZES)}; say them, or params, tokens and forward_macs"


def _is_known(value: Any) -> bool:
    return value is not None and value == value and value != ""
