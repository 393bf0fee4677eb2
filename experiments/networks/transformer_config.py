"""What diffusers' `config.json` beside a DiT's weights says: the image size and heads, which tensors do not.

Settings of other networks are refused by name.
"""

import json
from pathlib import Path
from typing import Any

from dit_grid.model.weights import WeightsError

CLASSES = ("DiTTransformer2DModel", "Transformer2DModel")
"""What diffusers calls the network now, and called it when the published files were made."""

FIXED: dict[str, tuple[Any, ...]] = {
    "activation_fn": ("gelu-approximate",),
    "norm_type": ("ada_norm_zero",),
    "attention_bias": (True,),
    "cross_attention_dim": (None,),
    "norm_elementwise_affine": (False,),
    "double_self_attention": (False,),
    "dropout": (0, 0.0),
}
"""Settings that change what is computed, with what the paper's network has."""

SIZES = ("sample_size", "num_attention_heads")


def transformer_beside(path: Path) -> dict[str, int]:
    """`sample_size`, in latents, and `num_attention_heads` of the configuration beside a file; empty without one.

    Raises WeightsError for the configuration of another network, with the settings that differ.
    """
    config = path.with_name("config.json")
    if not config.is_file():
        return {}
    try:
        held = json.loads(config.read_text())
        name = held.get("_class_name", CLASSES[0])
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{config}: not the configuration of a transformer ({str(error)[:100]})") from error
    if name not in CLASSES:
        raise WeightsError(f"{config}: a {ascii(name)[:60]}, not a DiT ({' or '.join(CLASSES)})")
    other = [
        f"{key} {ascii(held[key])[:40]}" for key, allowed in FIXED.items() if held.get(key, allowed[0]) not in allowed
    ]
    if other:
        raise WeightsError(f"{config}: settings that a DiT does not have: {', '.join(other)}")
    sizes = {key: held[key] for key in SIZES if held.get(key) is not None}
    if wrong := [f"{key} {ascii(value)[:40]}" for key, value in sizes.items() if type(value) is not int or value < 1]:
        raise WeightsError(f"{config}: {', '.join(wrong)}: a whole number of at least 1")
    return sizes
