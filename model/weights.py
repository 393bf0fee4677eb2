"""Trained weights in and out: files of the reference implementation, of diffusers and of this project.

Every tensor of a file is accounted for or the file is refused; nothing in a file is ever executed. Checkpoints for
resuming a run, which also hold the optimizer, are not here.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import jax
import numpy as np
from flax import nnx
from safetensors import SafetensorError
from safetensors.numpy import save_file

from dit_grid.model.abstract import abstract_dit
from dit_grid.model.accounting import trainable_params
from dit_grid.model.checkpoint_contents import Contents, ContentsError, Weights, contents, unwrapped
from dit_grid.model.config import DiTConfig
from dit_grid.model.dit import DiT
from dit_grid.model.embeddings import position_table
from dit_grid.model.layouts import POSITION_TABLES, LayoutName, Slot, piece, slots, to_ours, to_theirs
from dit_grid.model.safetensors_files import SafetensorsFileError, read_safetensors
from dit_grid.model.torch_files import TorchFileError, read_torch_file

POSITION_TOLERANCE = 1e-5
"""Largest difference of a file's position table from ours, besides the rounding of its numbers; tables of another grid
differ by more than 0.1."""

MAX_CLAIM = 4
"""How many times the numbers of a file a network may claim before it is refused at once; below, what lacks is named."""

MAX_GRID = 512
"""Most tokens a side of a network in a file: 8,192 pixels with the VAE and patches of 2. Its position table is made."""


class WeightsError(ValueError):
    """A file that cannot be read, or that holds another network than the one asked for."""


def read_tensors(path: str | Path, weights: Weights = "ema") -> dict[str, np.ndarray]:
    """The named tensors of a safetensors file or a PyTorch checkpoint, bfloat16 as float32, without wrappers' names.

    A PyTorch file may be a plain state dict or a training checkpoint that holds one under "state_dict", or one under
    "model" and one under "ema", of which `weights` chooses. Raises `WeightsError` for anything else.
    """
    return read_checkpoint(path, weights).tensors


def read_checkpoint(path: str | Path, weights: Weights = "ema") -> Contents:
    """As `read_tensors`, with the arguments of the program that wrote a training checkpoint, as far as they are plain.

    Nothing but the tensors asked for is read. Raises `WeightsError`.
    """
    path = Path(path)
    if weights not in get_args(Weights):
        raise WeightsError(f"weights {weights!r} is not one of {', '.join(get_args(Weights))}")
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            return Contents(unwrapped(read_safetensors(path)), {})
        return Contents(*read_torch_file(path, lambda content: tuple(contents(content, weights))))
    except (TorchFileError, SafetensorsFileError, ContentsError) as error:
        raise WeightsError(f"{path}: {error}") from error


def load_weights(model: DiT, path: str | Path, weights: Weights = "ema") -> None:
    """Replaces the model's parameters by those of a file in either layout, told apart by its names."""
    tensors = read_tensors(path, weights)
    nnx.update(model, from_tensors(model.config, tensors, guess_layout(tensors), source=str(path)))


def save_weights(model: DiT, path: str | Path, layout: LayoutName = "reference") -> None:
    """Writes the model's parameters as a safetensors file with the names and shapes of `layout`, whole or not at all.

    Raises `WeightsError` where the file cannot be written.
    """
    tensors = to_tensors(model.config, nnx.state(model, nnx.Param), layout)
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, part)
        part.replace(path)
    except (SafetensorError, OSError) as error:
        part.unlink(missing_ok=True)
        raise WeightsError(f"{path}: cannot be written: {error}") from error


def guess_layout(tensors: Mapping[str, np.ndarray]) -> LayoutName:
    """The layout that the names belong to."""
    return "diffusers" if any(name.startswith("transformer_blocks.") for name in tensors) else "reference"


def from_tensors(
    config: DiTConfig, tensors: Mapping[str, np.ndarray], layout: LayoutName = "reference", source: str = "weights"
) -> nnx.State:
    """Our parameters, float32, of another implementation's tensors.

    Raises `WeightsError` with every missing, unexpected and misshapen tensor, for a position table of another grid,
    for copies of one tensor that differ, and for numbers that are not finite.
    """
    _check_possible(config, tensors, source)
    _, state = abstract_dit(config)
    shapes = {path: leaf.shape for path, leaf in _leaves(state).items()}
    wanted = list(slots(layout, config, list(shapes)))
    _check_names_and_shapes(config, wanted, shapes, tensors, layout, source)
    ours = {path: np.full(shape, np.nan, np.float32) for path, shape in shapes.items()}
    for slot in wanted:
        array = ours[slot.path] if slot.layer is None else ours[slot.path][slot.layer]
        target, value = piece(array, slot), to_ours(slot, tensors[slot.name]).astype(np.float32)
        if not np.isfinite(value).all():
            raise WeightsError(f"{source}: {slot.name} holds NaN or infinity, or numbers beyond float32")
        if not np.isnan(target).all() and not np.array_equal(target, value):
            raise WeightsError(f"{source}: {slot.name} differs from the copy of it in an earlier block")
        target[...] = value
    # Not jnp.asarray, which from JAX 0.10 on compiles a program for each shape.
    return jax.tree.map_with_path(lambda path, _: jax.device_put(ours[_names(path)]), state)


def to_tensors(config: DiTConfig, params: nnx.State, layout: LayoutName = "reference") -> dict[str, np.ndarray]:
    """Another implementation's tensors of our parameters, with its names, shapes and position table."""
    ours = {path: np.asarray(leaf) for path, leaf in _leaves(params).items()}
    tensors = {slot.name: to_theirs(slot, ours[slot.path], config) for slot in slots(layout, config, list(ours))}
    if layout == "reference":
        tensors[POSITION_TABLES[layout]] = _position_table(config)
    return tensors


def _check_names_and_shapes(
    config: DiTConfig,
    wanted: list[Slot],
    shapes: Mapping[tuple[str, ...], tuple[int, ...]],
    tensors: Mapping[str, np.ndarray],
    layout: LayoutName,
    source: str,
) -> None:
    expected = {slot.name: to_theirs(slot, _shape_only(shapes[slot.path]), config).shape for slot in wanted}
    table = POSITION_TABLES[layout]
    if layout == "reference" or table in tensors:
        expected[table] = _position_table(config).shape
    faults = {
        "missing": sorted(expected.keys() - tensors.keys()),
        "unexpected": sorted(tensors.keys() - expected.keys()),
        "misshapen": [
            f"{name} {tensors[name].shape} instead of {shape}"
            for name, shape in expected.items()
            if name in tensors and tensors[name].shape != shape
        ],
    }
    found = [f"{len(names)} {fault}: {', '.join(names)}" for fault, names in faults.items() if names]
    if found:
        raise WeightsError(f"{source} does not hold this network ({config}): " + "; ".join(found))
    if table in tensors and not _is_position_table(tensors[table].astype(np.float32), config):
        raise WeightsError(f"{source}: {table} is not the fixed position table of {config.tokens} tokens")


def _is_position_table(found: np.ndarray, config: DiTConfig) -> bool:
    """Whether it is ours, rounded to as many bits as its numbers have: 10 in half precision, 7 in bfloat16."""
    bits = int(np.bitwise_or.reduce(found.view(np.uint32), axis=None)) & 0x7FFFFF
    kept = max(23 - ((bits & -bits).bit_length() - 1), 7) if bits else 7
    # Half of the last of `kept` bits of numbers just below 1, which no entry exceeds.
    tolerance = POSITION_TOLERANCE + 2.0 ** -(kept + 2)
    return bool(np.abs(found - _position_table(config)).max() <= tolerance)


def _check_possible(config: DiTConfig, tensors: Mapping[str, np.ndarray], source: str) -> None:
    """Refuse a network that claims far more numbers than the tensors have, before anything of its size is made."""
    held, claimed = sum(array.size for array in tensors.values()), trainable_params(config)
    if claimed > MAX_CLAIM * held:
        raise WeightsError(
            f"{source}: holds {held:,} numbers, not the {claimed:,} of a network of depth {config.depth}, width "
            f"{config.width}, {config.classes:,} classes"
        )
    if config.image_size // config.patch > MAX_GRID:
        raise WeightsError(
            f"{source}: images of {config.image_size} pixels or latents a side in patches of {config.patch}; allowed "
            f"are up to {MAX_GRID} patches a side"
        )


def _position_table(config: DiTConfig) -> np.ndarray:
    return position_table(config.width, config.image_size // config.patch)[None]


def _shape_only(shape: tuple[int, ...]) -> np.ndarray:
    return np.broadcast_to(np.float32(0), shape)


def _leaves(state: nnx.State) -> dict[tuple[str, ...], jax.Array]:
    return {_names(path): leaf for path, leaf in jax.tree.leaves_with_path(state)}


def _names(path: tuple) -> tuple[str, ...]:
    return tuple(str(key.key) for key in path if hasattr(key, "key"))
