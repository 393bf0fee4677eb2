"""Which file of a folder holds its weights, as diffusers lays folders out, and weights that are split into shards.

Reading one file is `model.weights`; which network the tensors are is `published` and each network's own reader.
"""

import hashlib
import json
import re
from pathlib import Path

import numpy as np

from dit_grid.experiments.networks.weight_files import file_sha256, read_header
from dit_grid.model.checkpoint_contents import Weights
from dit_grid.model.weights import Contents, WeightsError, read_checkpoint

INDEX = ".index.json"
NAMES = (
    "diffusion_pytorch_model.safetensors",
    f"diffusion_pytorch_model.safetensors{INDEX}",
    "model.safetensors",
    "diffusion_pytorch_model.bin",
    "pytorch_model.bin",
)
"""What diffusers and transformers call the weights of a folder, in the order in which they look for them."""

PARTS = ("transformer", "vae", "unet")
SHARD = re.compile(r"[\w.-]+-\d{5}-of-\d{5}\.(safetensors|bin)")
MAX_INDEX_BYTES = 16 * 2**20


def weight_place(path: Path) -> Path:
    """The file of weights at a path: itself, or of a folder in diffusers' form the file, or the index of its shards.

    One shard stands for all of them. Raises WeightsError for a folder without weights and for a whole pipeline.
    """
    if not path.is_dir():
        shard = re.fullmatch(r"(.+)-\d{5}-of-\d{5}\.safetensors", path.name)
        index = path.with_name(f"{shard[1]}.safetensors{INDEX}") if shard else path
        return index if index.is_file() else path
    if found := [path / name for name in NAMES if (path / name).is_file()]:
        return found[0]
    if len(only := sorted(path.glob("*.safetensors"))) == 1:
        return only[0]
    if parts := [part for part in PARTS if (path / part).is_dir()]:
        raise WeightsError(
            f"{path}: a whole pipeline; give one of its folders, {' or '.join(f'{path / p}' for p in parts)}"
        )
    raise WeightsError(f"{path}: a folder without weights; expected {NAMES[0]} in it, or give the file itself")


def read_weights(path: Path, weights: Weights = "ema") -> dict[str, np.ndarray]:
    """The tensors of a file, or of all shards of an index. Raises WeightsError."""
    return read_contents(path, weights).tensors


def read_contents(path: Path, weights: Weights = "ema") -> Contents:
    """As `read_weights`, with the arguments that a training checkpoint keeps."""
    if not path.name.endswith(INDEX):
        return read_checkpoint(path, weights)
    tensors: dict[str, np.ndarray] = {}
    for shard in shards(path):
        held = read_checkpoint(shard, weights).tensors
        if twice := held.keys() & tensors.keys():
            raise WeightsError(f"{path}: {len(twice)} tensors are in two shards ({', '.join(sorted(twice)[:3])})")
        tensors |= held
    return Contents(tensors, {})


def shards(index: Path) -> list[Path]:
    """The files that an index names, all of them beside it. Raises WeightsError for other names and missing files."""
    try:
        if index.stat().st_size > MAX_INDEX_BYTES:
            raise ValueError(f"larger than {MAX_INDEX_BYTES} bytes")
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{index}: not an index of shards ({type(error).__name__}: {str(error)[:100]})") from error
    for name in names:
        # A name from a file becomes no path but that of a file beside it.
        if not isinstance(name, str) or not SHARD.fullmatch(name):
            raise WeightsError(f"{index}: names a shard {ascii(name)[:80]}; expected NAME-00001-of-00002.safetensors")
    found = [index.with_name(name) for name in names]
    if missing := [shard.name for shard in found if not shard.is_file()]:
        raise WeightsError(
            f"{index}: {len(missing)} of {len(found)} shards are not beside it: {', '.join(missing[:3])}"
        )
    return found


def content_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, or, of an index, of its shards' hashes in the order of their names."""
    if not path.name.endswith(INDEX):
        return file_sha256(path)
    return hashlib.sha256("\n".join(file_sha256(shard) for shard in shards(path)).encode()).hexdigest()


def weights_sha256(path: Path) -> str:
    """SHA-256 that names the weights at a path: of the file that a header says they come from, or their own."""
    place = weight_place(path)
    header = read_header(place)
    return header.source_sha256 if header else content_sha256(place)
