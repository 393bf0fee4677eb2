"""What an autoencoder's file or folder says of its network: sizes, the scale of its latents, and what is not supported.

Building the network is `autoencoder`, reading weights `weights`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dit_grid.experiments.networks.autoencoder import VAEConfig
from dit_grid.experiments.networks.publishers import VAE

NAMES = {
    "widths": "block_out_channels",
    "layers": "layers_per_block",
    "groups": "norm_num_groups",
    "channels": "in_channels",
    "latent_channels": "latent_channels",
}
"""Our sizes and diffusers' names of them, which its `config.json` must all have."""

SCALING = "scaling_factor"
FIXED: dict[str, tuple[Any, ...]] = {
    "_class_name": ("AutoencoderKL",),
    "act_fn": ("silu", "swish"),
    "shift_factor": (None, 0),
    "latents_mean": (None,),
    "latents_std": (None,),
    "use_quant_conv": (True,),
    "use_post_quant_conv": (True,),
    "mid_block_add_attention": (True,),
}
"""Settings of diffusers that change what the network computes, with the values that are computed here."""

BLOCKS = {"down_block_types": "DownEncoderBlock2D", "up_block_types": "UpDecoderBlock2D"}
WITHOUT_EFFECT = {"out_channels", "sample_size", "force_upcast"}
"""Known settings that change no number here; `out_channels` is compared with `in_channels`."""

MAX_LEVELS, MAX_LAYERS, MAX_WIDTH = 8, 16, 2**14
"""Bounds of what a configuration may ask for before its file is looked at; published ones have 5, 3 and 512 at most."""


class VAEWeightsError(ValueError):
    """A file that does not hold this network; the message lists what differs and where to get the right one."""


def read_config(path: Path) -> VAEConfig:
    """The network of diffusers' `config.json`, with the scale of its latents.

    Raises VAEWeightsError for a size that is missing or absurd, and, by name, for a setting that would change numbers
    and is not supported.
    """
    try:
        held = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise VAEWeightsError(f"{path}: not readable as JSON ({str(error)[:100]})") from error
    if not isinstance(held, dict):
        raise VAEWeightsError(f"{path}: holds a {type(held).__name__}: not the config.json of an AutoencoderKL")
    return config_said(held, path)


def config_said(held: Mapping[str, Any], path: Path) -> VAEConfig:
    """The network of what diffusers' `config.json` at the path says. Raises as `read_config`."""
    _check_supported(held, path)
    try:
        sizes = {ours: held[theirs] for ours, theirs in NAMES.items()}
    except KeyError as error:
        raise VAEWeightsError(
            f"{path}: no {error}: not the config.json of an AutoencoderKL; the VAE is {VAE}"
        ) from error
    scaling = {} if held.get(SCALING) is None else {"scaling": held[SCALING]}
    return checked_config(sizes | scaling, str(path))


def checked_config(held: Mapping[str, Any], source: str) -> VAEConfig:
    """The configuration of these fields. Raises VAEWeightsError for unknown ones and values that no network has."""
    if unknown := sorted(set(map(str, held)) - set(VAEConfig.__dataclass_fields__)):
        raise VAEWeightsError(f"{source}: unknown settings of an autoencoder: {', '.join(unknown)[:200]}")
    fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in held.items()}
    config = VAEConfig(**fields)
    for name, value, most in (
        ("layers", config.layers, MAX_LAYERS),
        ("groups", config.groups, MAX_WIDTH),
        ("latent_channels", config.latent_channels, MAX_WIDTH),
        *(("widths", width, MAX_WIDTH) for width in (config.widths if isinstance(config.widths, tuple) else (None,))),
    ):
        if type(value) is not int or not 1 <= value <= most:
            raise VAEWeightsError(f"{source}: {NAMES[name]} {str(value)[:40]}: a whole number from 1 to {most}")
    if not 1 <= len(config.widths) <= MAX_LEVELS:
        raise VAEWeightsError(
            f"{source}: block_out_channels has {len(config.widths)} levels; allowed 1 to {MAX_LEVELS}"
        )
    if bad := [width for width in config.widths if width % config.groups]:
        raise VAEWeightsError(
            f"{source}: block_out_channels {bad[0]} is no multiple of norm_num_groups {config.groups}"
        )
    _check_channels(config, source)
    return config


def _check_channels(config: VAEConfig, source: str) -> None:
    if config.channels != 3:
        raise VAEWeightsError(f"{source}: in_channels {config.channels}: images of 3 channels, RGB, are supported")
    if config.latent_channels in (1, 3):
        raise VAEWeightsError(
            f"{source}: latent_channels {config.latent_channels} is not supported: samples of so many are images"
        )
    if not (isinstance(config.scaling, int | float) and 0 < config.scaling < float("inf")):
        raise VAEWeightsError(f"{source}: {SCALING} {str(config.scaling)[:40]}: a number above 0")


def _check_supported(held: Mapping[str, Any], path: Path) -> None:
    """Refuse, by name, every setting that would make other numbers than the network here."""
    unsupported = [
        f"{name} {_short(held[name])} (supported: {' or '.join(_short(value) for value in allowed)})"
        for name, allowed in FIXED.items()
        if name in held and held[name] not in allowed
    ]
    unsupported += [
        f"{name} {_short(held[name])} (supported: {block} alone)"
        for name, block in BLOCKS.items()
        if name in held and (not isinstance(held[name], list) or set(map(str, held[name])) != {block})
    ]
    if held.get("out_channels", held.get("in_channels")) != held.get("in_channels"):
        unsupported.append(f"out_channels {_short(held['out_channels'])} (supported: as in_channels)")
    known = {*FIXED, *BLOCKS, *NAMES.values(), *WITHOUT_EFFECT, SCALING}
    unsupported += [
        f"{str(name)[:60]} {_short(value)} (not known here)"
        for name, value in held.items()
        if name not in known and not str(name).startswith("_") and value is not None
    ]
    if unsupported:
        raise VAEWeightsError(f"{path}: settings that this autoencoder does not have: {'; '.join(unsupported)}")


def _short(value: Any) -> str:
    return ascii(value)[:60]
