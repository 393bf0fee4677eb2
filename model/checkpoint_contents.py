"""Which of the things in a training checkpoint are the weights, and how programs wrap their names.

Reading files is `torch_files` and `safetensors_files`; which network the names belong to is left to `weights`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeVar

from dit_grid.model.torch_pickle import Inert, Namespace, Tensor, named

Weights = Literal["ema", "raw"]

KEYS: dict[Weights, tuple[str, ...]] = {
    "ema": ("ema", "ema_state_dict", "model_ema", "state_dict_ema", "params_ema"),
    "raw": ("model", "model_state_dict", "module", "params", "net"),
}
"""Where training programs keep averaged and raw weights: first those of DiT and SiT."""

EITHER = "state_dict"
ARGUMENTS = ("args", "config", "cfg", "hyper_parameters", "hparams")
"""Where they keep what they were started with."""

WRAPPERS = ("module.", "_orig_mod.", "_fsdp_wrapped_module.", "model.", "net.", "network.")
"""What wrappers put before all names: DistributedDataParallel, torch.compile, FSDP, Lightning modules."""

WITHIN = ("_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
"""What wrappers of single blocks put in the middle of names."""

AVERAGED_COUNT = "n_averaged"
"""What torch.optim.swa_utils.AveragedModel keeps beside the names under `module.`."""

Value = TypeVar("Value")


class ContentsError(ValueError):
    """A checkpoint without the weights that were asked for; the message says what it holds."""


class Contents(NamedTuple):
    """The named tensors that were asked for, and the arguments that the checkpoint keeps beside them."""

    tensors: dict[str, Any]
    arguments: dict[str, Any]


def contents(content: Any, weights: Weights) -> Contents:
    """The weights among a checkpoint's things, their names without wrappers. Raises ContentsError."""
    held = _weights(content, weights)
    if not isinstance(held, Mapping) or not held:
        more = "; it is a whole module, save its state_dict()" if isinstance(content, Inert) else ""
        raise ContentsError(f"holds a {named(content)}, not a state dict of named tensors{more}")
    strangers = [(str(name), value) for name, value in held.items() if not isinstance(value, Tensor)]
    if strangers and all(isinstance(value, Mapping) for _, value in strangers):
        raise ContentsError(f"entries that are not tensors but dicts: {_some(name for name, _ in strangers)}")
    if strangers:
        what = _some(f"{name} ({named(value)})" for name, value in strangers)
        raise ContentsError(f"refused: entries that are not tensors: {what}")
    return Contents(unwrapped({str(name): value for name, value in held.items()}), _arguments(content))


def unwrapped(named_tensors: Mapping[str, Value]) -> dict[str, Value]:
    """The same values under the names that the network gave them.

    Raises ContentsError where two become one, and for a name that is not printable: names appear in messages.
    """
    for name in named_tensors:
        if not name.isprintable():
            raise ContentsError(f"a tensor's name holds control characters: {name[:80]!r}")
    names = {name: name for name in named_tensors}
    for wrapper in WITHIN:
        names = {name: short.replace(f".{wrapper}", ".") for name, short in names.items()}
    while prefix := _shared(names.values()):
        names = {name: short.removeprefix(prefix) for name, short in names.items() if short != AVERAGED_COUNT}
    if len(set(names.values())) < len(names):
        raise ContentsError("holds some tensors twice, with and without the names that wrappers add")
    return {short: named_tensors[name] for name, short in names.items()}


def _shared(names: Iterable[str]) -> str:
    """The wrapper that all names begin with, or nothing."""
    others = [name for name in names if name != AVERAGED_COUNT]
    return next((w for w in WRAPPERS if others and all(n.startswith(w) and n != w for n in others)), "")


def _weights(content: Any, weights: Weights) -> Any:
    if not isinstance(content, Mapping):
        return content
    other: Weights = "raw" if weights == "ema" else "ema"
    for key in (*KEYS[weights], *((EITHER,) if weights == "raw" else ())):
        if isinstance(content.get(key), Mapping) and content[key]:
            return content[key]
    present = [key for key in KEYS[other] if isinstance(content.get(key), Mapping) and content[key]]
    if isinstance(content.get(EITHER), Mapping):
        return content[EITHER]
    if present:
        raise ContentsError(f"holds {present[0]!r} and no {KEYS[weights][0]!r}: use weights {other!r}")
    return content


def _arguments(content: Any) -> dict[str, Any]:
    """What is said under `ARGUMENTS`, plain values alone."""
    found: dict[str, Any] = {}
    for key in ARGUMENTS:
        held = content.get(key) if isinstance(content, Mapping) else None
        held = vars(held) if isinstance(held, Namespace) else held.state if isinstance(held, Inert) else held
        if isinstance(held, Mapping):
            found |= {str(name): value for name, value in held.items() if isinstance(value, str | bool | int | float)}
    return found


def _some(names: Iterable[str]) -> str:
    listed = [name[:80] if name.isprintable() else ascii(name[:80]) for name in names]
    return ", ".join(listed[:8]) + (f" and {len(listed) - 8} more" if len(listed) > 8 else "")
