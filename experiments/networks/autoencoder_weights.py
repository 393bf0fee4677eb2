"""AutoencoderKL's published weights into our network: diffusers' files, old and new, and the original checkpoints.

Every tensor that belongs to the network is accounted for, or the file is refused; training state in a checkpoint is
passed over. Which file a run uses, and caching, is the caller's.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from dit_grid.experiments.networks.autoencoder import AutoencoderKL, VAEConfig
from dit_grid.experiments.networks.autoencoder_config import VAEWeightsError, checked_config, read_config
from dit_grid.experiments.networks.local_devices import parameter
from dit_grid.experiments.networks.publishers import VAE
from dit_grid.experiments.networks.weight_files import read_header, tensor_faults
from dit_grid.experiments.networks.weight_places import read_weights, weight_place
from dit_grid.model.abstract import network_shapes

ORIGINAL_NAMES = (
    (r"\.nin_shortcut\.", ".conv_shortcut."),
    (r"\.down\.(\d+)\.block\.", r".down_blocks.\1.resnets."),
    (r"\.down\.(\d+)\.downsample\.", r".down_blocks.\1.downsamplers.0."),
    (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
    (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
    (r"\.mid\.attn_1\.norm\.", ".mid_block.attentions.0.group_norm."),
    (r"\.mid\.attn_1\.([qkv])\.", r".mid_block.attentions.0.to_\1."),
    (r"\.mid\.attn_1\.proj_out\.", ".mid_block.attentions.0.to_out.0."),
    (r"\.norm_out\.", ".conv_norm_out."),
)
"""From the names of the original checkpoints to those of diffusers, apart from the decoder's blocks (`_rename`)."""

OLDER_NAMES = (
    (r"\.attentions\.0\.query\.", ".attentions.0.to_q."),
    (r"\.attentions\.0\.key\.", ".attentions.0.to_k."),
    (r"\.attentions\.0\.value\.", ".attentions.0.to_v."),
    (r"\.attentions\.0\.proj_attn\.", ".attentions.0.to_out.0."),
)
"""From diffusers' names before 2023 to its present ones."""

NETWORK = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
WITHIN = "first_stage_model."
"""What the names begin with in a checkpoint of the whole of Stable Diffusion."""

LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias"}

ORIGINAL_SCALE = "scale_factor"
"""Where checkpoints of latent diffusion keep the scale of latents, if it was measured on the first batch."""


def load_vae(path: Path, config: Path | None = None) -> AutoencoderKL:
    """The network of a weight file or folder; sizes and the scale of its latents come from its header or `config.json`
    beside it (or `config`), or are Stable Diffusion's.

    Raises VAEWeightsError for a missing file and for tensors that are missing, unexpected or of another shape.
    """
    path = weight_place(path)
    if not path.is_file():
        raise VAEWeightsError(f"{path}: no such file; the VAE is {VAE}")
    tensors = read_weights(path)
    return vae_of(config_of(path, tensors, config), tensors, source=str(path))


def config_of(path: Path, tensors: Mapping[str, np.ndarray], config: Path | None = None) -> VAEConfig:
    """What the file's header says, or diffusers' `config.json` beside it; without either Stable Diffusion's sizes, at
    the scale that an original checkpoint keeps among its tensors, or 0.18215. Raises VAEWeightsError."""
    if (header := read_header(path)) and header.kind == "vae":
        return checked_config(header.config, str(path))
    beside = config or path.with_name("config.json")
    if beside.is_file():
        return read_config(beside)
    kept = tensors.get(ORIGINAL_SCALE)
    return checked_config({} if kept is None or kept.size != 1 else {"scaling": float(kept.flat[0])}, str(path))


def vae_of(config: VAEConfig, tensors: Mapping[str, np.ndarray], source: str = "weights") -> AutoencoderKL:
    """The network with another implementation's tensors, float32; raises VAEWeightsError."""
    named = network_tensors(config, tensors)
    if not named:
        names = ", ".join(sorted(tensors)[:3])
        raise VAEWeightsError(
            f"{source}: not this AutoencoderKL: no tensor of it ({names}); the published one is {VAE}"
        )
    if faults := tensor_faults(tensor_shapes(config), named):
        raise VAEWeightsError(f"{source}: not this AutoencoderKL: {faults}; the published one is {VAE}")
    definition, shapes = _skeleton(config)
    return nnx.merge(definition, jax.tree.map_with_path(lambda path, _: _to_ours(named[_name(path)]), shapes))


def tensor_shapes(config: VAEConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of the network in diffusers' present layout."""
    leaves = jax.tree.leaves_with_path(_skeleton(config)[1])
    return {_name(path): _their_shape(leaf.shape) for path, leaf in leaves}


@cache
def _skeleton(config: VAEConfig) -> tuple[nnx.GraphDef[AutoencoderKL], nnx.State]:
    """The network without numbers."""
    return nnx.split(network_shapes(lambda rngs: AutoencoderKL(config, rngs)))


def network_tensors(config: VAEConfig, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors of the network alone under diffusers' present names; attention's 1×1 convolutions as matrices."""
    if any(name.startswith(WITHIN) for name in tensors):
        tensors = {name.removeprefix(WITHIN): array for name, array in tensors.items() if name.startswith(WITHIN)}
    renamed = {_rename(name, len(config.widths)): array for name, array in tensors.items()}
    return {
        name: array[:, :, 0, 0] if ".attentions." in name and array.shape[2:] == (1, 1) else array
        for name, array in renamed.items()
        if name.startswith(NETWORK)
    }


def _rename(name: str, levels: int) -> str:
    for pattern, replacement in ORIGINAL_NAMES + OLDER_NAMES:
        name = re.sub(pattern, replacement, name)
    # The original numbers the decoder's blocks by resolution, diffusers in the order they run.
    match = re.match(r"decoder\.up\.(\d{1,2})\.(block|upsample)\.(.*)", name)
    if not match:
        return name
    level, kind, rest = match.groups()
    return f"decoder.up_blocks.{levels - 1 - int(level)}.{'resnets' if kind == 'block' else 'upsamplers.0'}.{rest}"


def _to_ours(theirs: np.ndarray) -> jax.Array:
    if theirs.ndim == 4:
        theirs = theirs.transpose(2, 3, 1, 0)
    elif theirs.ndim == 2:
        theirs = theirs.T
    return parameter(theirs)


def _their_shape(ours: tuple[int, ...]) -> tuple[int, ...]:
    if len(ours) == 4:
        return ours[3], ours[2], ours[0], ours[1]
    return ours[::-1]


def _name(path: tuple) -> str:
    keys = [str(key.key) for key in path if hasattr(key, "key")]
    return ".".join([*keys[:-1], LEAVES[keys[-1]]])
