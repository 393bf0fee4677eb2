"""How other implementations name and arrange a network's tensors: the reference implementation and diffusers.

A layout is a list of slots, one for each of their tensors, saying which part of which of our parameters it is.
Reading and writing files, and checking tensors against a layout, is `dit_grid.model.weights`.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from dit_grid.model.config import ADALN_ZERO, DiTConfig

Path = tuple[str, ...]
Form = Literal["same", "transposed", "convolution"]
LayoutName = Literal["reference", "diffusers"]


class Slot(NamedTuple):
    """One of their tensors: part `part[0]` of `part[1]` of our parameter at `path`, in layer `layer` if it is stacked.

    The parts are equal pieces of our last axis. Several slots may show the same piece: diffusers keeps a copy of the
    timestep and label embedders in every block.
    """

    name: str
    path: Path
    form: Form
    layer: int | None = None
    part: tuple[int, int] = (0, 1)


REFERENCE = {
    ("patches",): "x_embedder.proj",
    ("timesteps", "fc1"): "t_embedder.mlp.0",
    ("timesteps", "fc2"): "t_embedder.mlp.2",
    ("labels",): "y_embedder.embedding_table",
    ("context",): "y_embedder.proj",
    ("blocks", "attn", "qkv"): "blocks.{}.attn.qkv",
    ("blocks", "attn", "proj"): "blocks.{}.attn.proj",
    ("blocks", "mlp", "fc1"): "blocks.{}.mlp.fc1",
    ("blocks", "mlp", "fc2"): "blocks.{}.mlp.fc2",
    ("blocks", "modulation"): "blocks.{}.adaLN_modulation.1",
    ("blocks", "norm1"): "blocks.{}.norm1",
    ("blocks", "norm2"): "blocks.{}.norm2",
    ("blocks", "norm3"): "blocks.{}.norm3",
    ("blocks", "cross", "q"): "blocks.{}.cross_attn.q",
    ("blocks", "cross", "kv"): "blocks.{}.cross_attn.kv",
    ("blocks", "cross", "proj"): "blocks.{}.cross_attn.proj",
    ("modulation",): "final_layer.adaLN_modulation.1",
    ("norm",): "final_layer.norm_final",
    ("out",): "final_layer.linear",
}
"""Our modules and the reference implementation's names; the designs that it never released follow."""

DIFFUSERS = {
    ("patches",): ("pos_embed.proj",),
    ("timesteps", "fc1"): ("transformer_blocks.{}.norm1.emb.timestep_embedder.linear_1",),
    ("timesteps", "fc2"): ("transformer_blocks.{}.norm1.emb.timestep_embedder.linear_2",),
    ("labels",): ("transformer_blocks.{}.norm1.emb.class_embedder.embedding_table",),
    ("blocks", "attn", "qkv"): tuple(f"transformer_blocks.{{}}.attn1.to_{part}" for part in "qkv"),
    ("blocks", "attn", "proj"): ("transformer_blocks.{}.attn1.to_out.0",),
    ("blocks", "mlp", "fc1"): ("transformer_blocks.{}.ff.net.0.proj",),
    ("blocks", "mlp", "fc2"): ("transformer_blocks.{}.ff.net.2",),
    ("blocks", "modulation"): ("transformer_blocks.{}.norm1.linear",),
    ("modulation",): ("proj_out_1",),
    ("out",): ("proj_out_2",),
}
"""Our modules and the names of diffusers' DiTTransformer2DModel, one for each equal part of our parameter."""

POSITION_TABLES = {"reference": "pos_embed", "diffusers": "pos_embed.pos_embed"}
"""Names of the fixed position table, which is no parameter here; diffusers saves it in some versions only."""

LEAVES = {"kernel": "weight", "scale": "weight", "table": "weight", "bias": "bias"}


def slots(layout: LayoutName, config: DiTConfig, paths: list[Path]) -> Iterator[Slot]:
    """One slot for each tensor that `layout` keeps of the parameters at `paths`.

    Raises ValueError for the diffusers layout of a design that diffusers does not have.
    """
    if layout == "diffusers" and config.block != ADALN_ZERO:
        raise ValueError(f"diffusers has no {config.block} block, only {ADALN_ZERO}: use layout 'reference'")
    for path in paths:
        module, leaf = path[:-1], path[-1]
        stems = DIFFUSERS[module] if layout == "diffusers" else (REFERENCE[module],)
        form: Form = "same"
        if leaf == "kernel":
            form = "convolution" if module == ("patches",) else "transposed"
        for index, stem in enumerate(stems):
            name, part = f"{stem}.{LEAVES[leaf]}", (index, len(stems))
            if "{}" not in stem:
                yield Slot(name, path, form, None, part)
                continue
            for layer in range(config.depth):
                yield Slot(name.format(layer), path, form, layer if module[0] == "blocks" else None, part)


def to_theirs(slot: Slot, ours: np.ndarray, config: DiTConfig) -> np.ndarray:
    """Their tensor of our whole parameter, a view where it can be."""
    array = ours if slot.layer is None else ours[slot.layer]
    array = piece(array, slot)
    if slot.form == "convolution":
        p = config.patch
        return array.reshape(p, p, config.channels, -1).transpose(3, 2, 0, 1)
    return array.T if slot.form == "transposed" else array


def to_ours(slot: Slot, theirs: np.ndarray) -> np.ndarray:
    """The piece of our parameter that their tensor is, the inverse of `to_theirs`."""
    if slot.form == "convolution":
        return theirs.transpose(2, 3, 1, 0).reshape(-1, theirs.shape[0])
    return theirs.T if slot.form == "transposed" else theirs


def piece(array: np.ndarray, slot: Slot) -> np.ndarray:
    """The slot's share of the last axis, a view."""
    index, parts = slot.part
    size = array.shape[-1] // parts
    return array[..., index * size : (index + 1) * size]
