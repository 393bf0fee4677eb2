"""Maximal update parametrization: how initial weights and Adam's rates scale with width, so that optima stay put.

The network itself is unchanged, and at the base width so is everything here. Source: Zheng et al. (2025), arXiv
2505.15270, table 1, which shows that the rules of Yang & Hu (2021) hold for diffusion transformers; heads keep their
width, so attention's scale stays as it is.
"""

import math
from typing import Any, Literal

import jax

from dit_grid.model.config import DiTConfig

Kind = Literal["input", "hidden", "output"]

CONSTANT_NORMAL = (("timesteps", "fc2"),)
"""Hidden layers whose initial spread does not fall with width by itself, as Xavier's does."""


def kind_of(path: tuple[str, ...]) -> Kind:
    """What a parameter is to the rules: a matrix from width to width, one from width to pixels, or any other.

    Biases, norms, embeddings and matrices from a fixed number of inputs are "input".
    """
    *module, leaf = path
    if leaf != "kernel":
        return "input"
    if module == ["out"]:
        return "output"
    return "hidden" if module[0] in ("blocks", "modulation") or tuple(module) in CONSTANT_NORMAL else "input"


def initial(params: Any, config: DiTConfig, base: int) -> Any:
    """Standard initial parameters of a network, brought to those that the rules ask for.

    A hidden matrix has base / width times its variance at the base width, an input matrix the same as there; the output
    matrix is zero. Xavier's variance, 2 / (inputs + outputs), falls with width by itself: in hidden matrices as it
    should, in input matrices where it should not.
    """
    inputs = {
        ("patches", "kernel"): config.patch**2 * config.channels,
        ("context", "kernel"): config.context_width or 0,
    }

    def scaled(path: tuple, leaf: jax.Array) -> jax.Array:
        names = _names(path)
        if names in inputs:
            return leaf * math.sqrt((inputs[names] + config.width) / (inputs[names] + base))
        if names[:-1] in CONSTANT_NORMAL and names[-1] == "kernel":
            return leaf * math.sqrt(base / config.width)
        return leaf

    return jax.tree.map_with_path(scaled, params)


def rated(updates: Any, width: int, base: int) -> Any:
    """Adam's updates, those of hidden and output matrices times base / width.

    The paper keeps the output matrix's rate and multiplies its product by base / width instead. From zero and under
    Adam, whose step does not depend on the gradient's size, both are one function of time; this way a network is
    the same whatever trained it, and its files need no multiplier.
    """

    def scaled(path: tuple, leaf: jax.Array) -> jax.Array:
        return leaf if kind_of(_names(path)) == "input" else leaf * (base / width)

    return jax.tree.map_with_path(scaled, updates)


def _names(path: tuple) -> tuple[str, ...]:
    return tuple(str(key.key) for key in path if hasattr(key, "key"))
