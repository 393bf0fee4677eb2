"""Published weights, recognised and checked: which network a file holds, and its copy in the project's own format.

Every key and shape is checked before anything is written. Running the networks is left to `model`, `vae`, `metrics`.
"""

import re
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from flax import nnx

from dit_grid.experiments.networks import inception_weights
from dit_grid.experiments.networks.autoencoder_weights import config_of, network_tensors, vae_of
from dit_grid.experiments.networks.inception_weights import inception_of
from dit_grid.experiments.networks.objectives import (
    Objective,
    asked_objective,
    decided,
    objective_beside,
    objective_of,
    objective_words,
    process_of,
)  # fmt: skip
from dit_grid.experiments.networks.publishers import INCEPTION, INCEPTION_SHA256, VAE
from dit_grid.experiments.networks.transformer_config import transformer_beside
from dit_grid.experiments.networks.weight_files import Header, Kind, read_header, write_weights
from dit_grid.experiments.networks.weight_places import content_sha256, read_contents, weight_place
from dit_grid.experiments.spec.objective import DiffusionSpec
from dit_grid.model import DiT, DiTConfig
from dit_grid.model.abstract import abstract_dit
from dit_grid.model.config import SIZES, ConfigError
from dit_grid.model.weights import WeightsError, from_tensors, guess_layout

WHERE = {
    "dit": "DiT-XL-2-256x256.pt or DiT-XL-2-512x512.pt of facebookresearch/DiT, the transformer folder of "
    "facebook/DiT-XL-2-256 in diffusers' form, or SiT-XL-2-256x256.pt of willisma/SiT",
    "vae": VAE,
    "inception": INCEPTION,
}
"""Where the files that a user may have are published."""


MAX_SIZE = 2**20
"""Above every number of a network's shape; more is damage."""

UNSAID = (
    "{file} does not say what its network predicts: it is taken for a DiT's, noise at 1,000 timesteps; weights trained "
    "by flow matching (SiT) have the same names and shapes, and sampled so they give no pictures: for those add --path "
    "and --prediction"
)
"""Said wherever a DiT file is used or imported that does not say how it was trained."""


@dataclass(frozen=True)
class Imported:
    """What became of a file: the network it holds in words, its hash and what is known of that, and the copy.

    `sha256` is of what was read; `claims` is the file and hash that the header of a file of ours names as its source.
    """

    file: str
    kind: Kind
    network: str
    tensors: int
    parameters: int
    sha256: str
    published: bool | None  # is it the published hash; None where none is documented
    written: str
    objective: Objective = field(default_factory=dict)
    claims: str = ""


@dataclass(frozen=True)
class Found:
    """What was read at a path: the file, its tensors, and what it says of what the network predicts."""

    path: Path
    tensors: dict[str, np.ndarray]
    objective: Objective
    header: Header | None
    called: tuple[str, ...] = ()  # names that file and network go by


def import_weights(
    path: Path, folder: Path, weights: Literal["ema", "raw"] = "ema", objective: Mapping[str, Any] | None = None,
    **dit: Any,
) -> Imported:  # fmt: skip
    """Copy a published file into `folder` in the project's format; `dit` is what a DiT file may not say of itself, and
    `objective` what a SiT file may not, as for `asked_objective`. A network that is not sampled here is kept.

    Raises WeightsError and its like for a file that is missing, unreadable, none of the three networks, or lacks
    tensors, has others, or other shapes; nothing is written then.
    """
    found = read_published(path, weights)
    path, tensors, said = found.path, found.tensors, found.header
    _check_finite(tensors, path)
    kind, sha256 = kind_of(tensors, str(path)), content_sha256(path)
    if said and said.kind != kind:
        raise WeightsError(f"{path}: its header says {said.kind}, its tensors are the {kind} network: damaged")
    trained_on: Objective = {}
    if kind == "dit":
        network = dit_config(tensors, path, **dit)
        from_tensors(network, tensors, guess_layout(tensors), source=str(path))
        trained_on = _decided(found, objective)
        name, words = _family_name(network, trained_on).lower().replace("/", "-"), _dit_words(network, trained_on)
        config = asdict(network)
    elif kind == "vae":
        vae = config_of(path, tensors)
        tensors = network_tensors(vae, tensors)
        vae_of(vae, tensors, source=str(path))
        name, words = "vae", f"AutoencoderKL, {vae.downscale} pixels a latent, scaling factor {vae.scaling:g}"
        config = asdict(vae)
    else:
        tensors = {name: array for name, array in tensors.items() if not name.endswith("num_batches_tracked")}
        inception_of(tensors, source=str(path))
        name, words, config = "inception", "Inception-v3 of FID, 2015-12-05", {}
    header = replace(said, objective=trained_on) if said else Header(kind, config, path.name, sha256, trained_on)
    written = folder / f"{name}-{sha256[:8]}.safetensors"
    write_weights(written, tensors, header)
    parameters = sum(int(array.size) for array in tensors.values())
    known = sha256.startswith(INCEPTION_SHA256) if kind == "inception" else None
    claims = f"{said.source}, SHA-256 {said.source_sha256}" if said else ""
    return Imported(
        str(path), kind, words, len(tensors), parameters, sha256, known, str(written), trained_on, claims
    )  # fmt: skip


def read_published(path: Path, weights: Literal["ema", "raw"] = "ema") -> Found:
    """The tensors of a safetensors file, a PyTorch file of any age, a folder in diffusers' form, or a frozen TensorFlow
    graph, as they are named, with what is said of them.

    Raises WeightsError with where files are published when there is none, GraphError for a graph without the network.
    """
    if not path.exists():
        raise WeightsError(f"{path}: no such file; published are: {'; '.join(WHERE.values())}")
    path = weight_place(path)
    header = read_header(path)
    if path.suffix == ".pb":
        return Found(path, inception_weights.read_graph(path), {}, header)
    contents = read_contents(path, weights)
    said = objective_of(header.objective) if header else objective_of(contents.arguments) or objective_beside(path)
    called = (header.source,) if header else (str(contents.arguments.get("model", "")), path.name)
    return Found(path, contents.tensors, said, header, called)


def kind_of(tensors: Mapping[str, np.ndarray], source: str) -> Kind:
    """Which network tensors of these names belong to. Raises WeightsError, with some names, for none of the three."""
    if {"x_embedder.proj.weight", "pos_embed.proj.weight"} & tensors.keys():
        return "dit"
    if "Mixed_5b.branch1x1.conv.weight" in tensors:
        return "inception"
    if any(re.match(r"(first_stage_model\.)?(encoder|decoder)\.conv_in\.weight", name) for name in tensors):
        return "vae"
    raise WeightsError(
        f"{source}: {len(tensors)} tensors, none of a DiT, the VAE or the FID network ({', '.join(sorted(tensors)[:3])}"
        f", …); known are: {'; '.join(WHERE.values())}"
    )


def load_dit(
    path: Path, weights: Literal["ema", "raw"] = "ema", objective: Mapping[str, Any] | None = None, **asked: Any
) -> tuple[DiT, DiffusionSpec]:
    """The network of a published or imported file, and what it was trained on, by which it is to be sampled.

    `objective` is what the file may not say of itself, as for `asked_objective`, and `asked` as for `dit_config`.
    Raises WeightsError, ConfigError.
    """
    found = read_published(path, weights)
    path, tensors = found.path, found.tensors
    if (kind := kind_of(tensors, str(path))) != "dit":
        raise WeightsError(f"{path}: holds the {kind} network, not a DiT; a DiT is {WHERE['dit']}")
    trained_on = _decided(found, objective)
    check_objective(trained_on, path)
    _check_finite(tensors, path)
    config = dit_config(tensors, path, **asked)
    process = process_of(trained_on, config.learn_sigma)
    definition, _ = abstract_dit(config)
    network = nnx.merge(definition, from_tensors(config, tensors, guess_layout(tensors), source=str(path)))
    assert process is not None  # checked above
    return network, process


def _decided(found: Found, asked: Mapping[str, Any] | None) -> Objective:
    try:
        return decided(found.objective, asked_objective(**(asked or {})), found.called)
    except WeightsError as error:
        raise WeightsError(f"{found.path}: {error}") from error


def check_objective(objective: Objective, path: Path) -> None:
    """Raise WeightsError, with what the file says, unless its network is sampled here: DiT's noise, or SiT's on a path;
    warn where it is silent."""
    if process_of(objective) is None:
        raise WeightsError(
            f"{path}: not trained as a DiT, it says: {objective_words(objective)}; sampled as one (noise, linear "
            "schedule of 1,000 timesteps) it would give no pictures, and as SiT, known are path_type Linear, GVP and "
            "VP with prediction velocity, score or noise; so it is not"
        )
    if not objective:
        warnings.warn(UNSAID.format(file=path), stacklevel=3)


def dit_config(
    tensors: Mapping[str, np.ndarray], path: Path, model: str | None = None, image_size: int | None = None,
    heads: int | None = None,
) -> DiTConfig:  # fmt: skip
    """The configuration of a DiT file from its header or its shapes.

    `model`, as XL/2, `image_size`, in latents, and `heads` are what is asked for. Shapes do not say the last, which
    sizes other than the paper's need, nor in diffusers' files the one before. Raises WeightsError for another network.
    """
    header = read_header(path)
    if header and header.kind == "dit":
        found = _config_of_header(header, path)
    else:
        beside = transformer_beside(path) if guess_layout(tensors) == "diffusers" else {}
        found = _config_of_shapes(
            tensors, path, image_size or beside.get("sample_size"), heads or beside.get("num_attention_heads")
        )
    if model is not None and model.removeprefix("DiT-") != _dit_name(found):
        raise WeightsError(f"{path}: holds a DiT-{_dit_name(found)}, not {model}: ask for that, or give another file")
    if image_size is not None and image_size != found.image_size:
        raise WeightsError(
            f"{path}: its images have {found.image_size} latents a side, {8 * found.image_size} pixels, not "
            f"{8 * image_size}: ask for that, or give another file"
        )
    return found


def _config_of_header(header: Header, path: Path) -> DiTConfig:
    try:
        if too_large := [name for name, value in header.config.items() if type(value) is int and value > MAX_SIZE]:
            raise ConfigError(f"{too_large[0][:40]} is larger than {MAX_SIZE:,}")
        return DiTConfig(**header.config)
    except (TypeError, ConfigError) as error:
        raise WeightsError(
            f"{path}: its header is no network: {str(error)[:200]}; import the published file"
        ) from error


def _config_of_shapes(
    tensors: Mapping[str, np.ndarray], path: Path, image_size: int | None, heads: int | None
) -> DiTConfig:
    diffusers = guess_layout(tensors) == "diffusers"
    stem, blocks = ("pos_embed.proj", "transformer_blocks") if diffusers else ("x_embedder.proj", "blocks")
    table = "transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight"
    labels = _shape(tensors, table if diffusers else "y_embedder.embedding_table.weight", path)
    width, channels, patch, _ = _shape(tensors, f"{stem}.weight", path)
    if 0 in (width, channels, patch, *labels):
        raise WeightsError(f"{path}: tensors without numbers: not a DiT; a DiT is {WHERE['dit']}")
    depth = 1 + max(
        (int(match[1]) for name in tensors if (match := re.match(rf"{blocks}\.(\d{{1,4}})\.", name))), default=-1
    )
    out = _shape(tensors, "proj_out_2.weight" if diffusers else "final_layer.linear.weight", path)[0]
    positions = tensors.get("pos_embed.pos_embed" if diffusers else "pos_embed")
    if positions is not None and positions.ndim == 3:
        image_size = round(positions.shape[1] ** 0.5) * patch
    if image_size is None:
        raise WeightsError(f"{path}: diffusers' file does not say its image size; add --image-size 256, or 512")
    heads = heads or {(size.depth, size.width): size.heads for size in SIZES.values()}.get((depth, width))
    if heads is None:
        raise WeightsError(
            f"{path}: a DiT of depth {depth} and width {width}, none of the paper's ("
            f"{', '.join(f'{name} {size.depth} x {size.width}' for name, size in SIZES.items())}): add --heads"
        )
    return DiTConfig(
        image_size, patch, width, depth, heads, channels=channels, classes=labels[0] - 1,
        learn_sigma=out == 2 * channels * patch * patch,
    )  # fmt: skip


def _check_finite(tensors: Mapping[str, np.ndarray], path: Path) -> None:
    broken = [name for name, array in tensors.items() if not np.isfinite(array).all()]
    if broken:
        raise WeightsError(
            f"{path}: {len(broken)} tensors hold NaN or infinity ({', '.join(broken[:3])}); is it damaged?"
        )


def _shape(tensors: Mapping[str, np.ndarray], name: str, path: Path) -> tuple[int, ...]:
    if name not in tensors or tensors[name].ndim != (4 if name.endswith("proj.weight") else 2):
        raise WeightsError(f"{path}: no tensor {name} of the expected rank: not a DiT; a DiT is {WHERE['dit']}")
    return tensors[name].shape


def _dit_name(config: DiTConfig) -> str:
    names = {(size.depth, size.width): name for name, size in SIZES.items()}
    size = names.get((config.depth, config.width), f"{config.depth}x{config.width}")
    return f"{size}/{config.patch}"


def _family_name(config: DiTConfig, objective: Objective) -> str:
    process = process_of(objective)
    return f"{'SiT' if process and process.path else 'DiT'}-{_dit_name(config)}"


def _dit_words(config: DiTConfig, objective: Objective) -> str:
    side, name, process = config.image_size, _family_name(config, objective), process_of(objective)
    family = f"{name} ({process.words})" if process and process.path else name
    return f"{family}, {side} x {side} x {config.channels} latents, {config.classes} classes"
