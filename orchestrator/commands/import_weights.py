"""`dit-grid import-weights`: published DiT, VAE and Inception files into the project's format, checked on the way in.

Recognising and checking them is `experiments.networks.published`; here are only the request and what is printed.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dit_grid.orchestrator.commands.options import JSON
from dit_grid.orchestrator.screen.prose import print_text

if TYPE_CHECKING:
    from dit_grid.experiments.networks.published import Imported

LATENT_PIXELS = 8
"""Pixels a side of one latent of the VAE that every published DiT uses."""


def objective_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say what a SiT file was trained on, where it does not say so itself."""
    for option in reversed((
        click.option("--path", type=click.Choice(["linear", "gvp", "vp"]), help="Of a SiT file: the path trained on."),
        click.option("--prediction", type=click.Choice(["velocity", "score", "noise"]), help="Of a SiT file."),
    )):  # fmt: skip
        command = option(command)
    return command


@click.command("import-weights")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("-o", "--out", default="weights", show_default=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--raw", is_flag=True, help="Of a training checkpoint take the raw weights, not their average (EMA).")
@click.option("--model", help="What a DiT file should hold, as XL/2; only checked.")
@click.option("--image-size", type=int, help="Pixels a side of a DiT's images, where no config.json says it.")
@click.option("--heads", type=click.IntRange(min=1), help="Attention heads of a DiT of no size of the paper's.")
@objective_options
@JSON
def import_weights(
    files: tuple[Path, ...], out: Path, raw: bool, model: str | None, image_size: int | None, heads: int | None,
    path: str | None, prediction: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Bring published weights into the project's format: DiT, SiT, Stable Diffusion's VAE, FID's Inception-v3.

    \b
    dit-grid import-weights DiT-XL-2-256x256.pt
    dit-grid import-weights SiT-XL-2-256x256.pt --path linear --prediction velocity
    dit-grid import-weights sd-vae-ft-mse/diffusion_pytorch_model.safetensors pt_inception-2015-12-05-6726825d.pth

    Takes the original checkpoints (.pt, .ckpt, .pth), diffusers' safetensors, folders and shards, and ADM's TensorFlow
    graph (.pb), without torch or TensorFlow, and runs nothing that they contain. Every name and shape is checked before
    anything is written.
    """
    from dit_grid.experiments.networks.published import import_weights as imported
    from dit_grid.orchestrator.screen.notices import plain_warnings

    latents = None if image_size is None else _latents(image_size)
    with plain_warnings():
        objective = {"path": path, "prediction": prediction}
        asked: dict[str, Any] = {"objective": objective, "model": model, "image_size": latents, "heads": heads}
        done = [imported(file, out, "raw" if raw else "ema", **asked) for file in files]
    if as_json:
        from dataclasses import asdict

        from dit_grid.orchestrator.screen.tables import print_json

        print_json([asdict(one) for one in done])
        return
    for one in done:
        _print(one)
    click.echo(f"next: {_next(done)}")


def _latents(pixels: int) -> int:
    from dit_grid.orchestrator.control.errors import RequestError

    if pixels < LATENT_PIXELS or pixels % LATENT_PIXELS:
        raise RequestError(f"--image-size {pixels}: pixels of the images, a multiple of {LATENT_PIXELS}, as 256 or 512")
    return pixels // LATENT_PIXELS


def _print(one: "Imported") -> None:
    known = {True: "the published file", False: "NOT the published file's", None: "no published hash is known"}
    click.echo(f"{one.file}: {one.network}; {one.tensors} tensors, {one.parameters:,} numbers")
    click.echo(f"  SHA-256 {one.sha256} ({known[one.published]}); every name and shape is as expected")
    if one.claims:
        print_text(f"  by its header, which is not checked, it was imported from {one.claims}")
    if one.kind == "dit":
        click.echo(f"  {_trained(one)}")
    click.echo(f"  written: {one.written}")


def _trained(one: "Imported") -> str:
    """What is known of how it was trained, and what follows."""
    from dit_grid.experiments.networks.objectives import process_of
    from dit_grid.experiments.networks.published import UNSAID

    if not one.objective:
        return UNSAID.format(file="the file")
    process = process_of(one.objective)
    if process is None:
        said = ", ".join(f"{name} {value}" for name, value in one.objective.items())
        return f"it says: {said}; it is kept, but cannot be sampled"
    return f"trained on {process.words}, and sampled along that path" if process.path else "trained as a DiT"


def _next(done: "list[Imported]") -> str:
    """The command that uses what was imported, with names in capitals for what is still missing."""
    from dit_grid.experiments.networks.objectives import process_of

    path = {one.kind: one.written for one in done if process_of(one.objective) is not None}
    if "dit" not in path and "inception" in path and "vae" not in path:
        return f"dit-grid evaluate SAMPLES.npz --reference REFERENCE.npz --features {path['inception']}"
    dit, vae = path.get("dit", "DIT_FILE"), path.get("vae", "VAE_FILE")
    return f"dit-grid sample --weights {dit} --vae {vae} --guidance 4 -o samples.png"


COMMANDS = (import_weights,)
