"""`dit-grid encode`: an image folder into the latents that large models train on.

What is encoded and how shards are kept is `experiments.data.encode`; here are only the request and what is printed.
"""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dit_grid.model.plurals import counted, was
from dit_grid.orchestrator.commands.options import JSON
from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.screen.prose import print_text

if TYPE_CHECKING:
    from dit_grid.experiments.data.latent_shards import Encoding, Manifest
    from dit_grid.experiments.networks.autoencoder import AutoencoderKL

SHOWN = 10
"""Unreadable images that are named; the manifest names all."""


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--vae", required=True, type=click.Path(path_type=Path), help="The VAE's weight file or folder.")
@click.option("-o", "--out", required=True, help="Folder or gs:// URL for the latents.")
@click.option("--image-size", default=256, show_default=True, help="Side of ADM's centre crop, pixels.")
@click.option("--batch", default=16, show_default=True, help="Images that the VAE sees at once.")
@click.option("--shard-images", default=1024, show_default=True, help="Images a shard; one is made again if killed.")
@click.option("--host", metavar="I/N", help="Do share I of N; default: as srun, mpirun or the TPU slice says, or all.")
@JSON
def encode(
    folder: Path, vae: Path, out: str, image_size: int, batch: int, shard_images: int, host: str | None, as_json: bool
) -> None:
    """Encode an image folder (FOLDER/CLASS/IMAGE.jpg) into latents, each image once as it is and once flipped.

    \b
    dit-grid encode imagenet/train --vae vae.safetensors -o gs://bucket/imagenet256
    dit-grid encode imagenet/train --vae vae.safetensors -o latents --host 0/4

    Killed at any instant, the same command goes on from the last whole shard. Hosts share the shards; whoever ends last
    writes the manifest. Unreadable images are listed and left out. Train on it with `data: {name: …, path: OUT}`.
    """
    from dit_grid.experiments.data.encode import CENTER_CROP, encode_shards, encoding_of, finish
    from dit_grid.experiments.data.image_folder import list_images
    from dit_grid.experiments.data.latent_shards import Making
    from dit_grid.experiments.networks.autoencoder import compiled_encode
    from dit_grid.experiments.networks.autoencoder_weights import load_vae
    from dit_grid.experiments.networks.weight_places import weights_sha256
    from dit_grid.experiments.store.files import open_files
    from dit_grid.orchestrator.commands.hosts import share
    from dit_grid.orchestrator.screen.notices import progress

    mine = share(host, os.environ)
    files, listing = open_files(out), list_images(folder)
    network = load_vae(vae)
    _check(image_size, batch, shard_images, network)
    making = Making(image_size, CENTER_CROP, weights_sha256(vae), network.config.scaling)
    encoding = encoding_of(listing, making, shard_images)
    for line in listing.notes:
        print_text(line, err=True)
    if mine.said_by:
        click.echo(f"host {mine.host} of {mine.hosts} ({mine.said_by})", err=True)
    total = sum(len(encoding.places(index)) for index in range(mine.host, encoding.shards, mine.hosts))
    began = time.perf_counter()
    with progress("images encoded", total) as counter:
        shards = encode_shards(
            listing, encoding, compiled_encode(network), files, batch=batch, host=mine.host, hosts=mine.hosts,
            encoded=counter.add,
        )  # fmt: skip
        before = 0
        for record in shards:
            counter.skip(len(encoding.places(record.index)) - (counter.new - before))
            before = counter.new
    seconds = time.perf_counter() - began
    summary = _summary(encoding, finish(encoding, files), files.root, counter.new, seconds, len(listing.left_out))
    _print(summary, as_json)


def _check(image_size: int, batch: int, shard_images: int, network: "AutoencoderKL") -> None:
    side = network.config.downscale
    if image_size < side or image_size % side:
        raise RequestError(f"--image-size {image_size}: the VAE needs a multiple of {side}, for example 256 or 512")
    for name, value in (("--batch", batch), ("--shard-images", shard_images)):
        if value < 1:
            raise RequestError(f"{name} {value}: at least 1")


def _summary(
    encoding: "Encoding", manifest: "Manifest | None", root: str, new: int, seconds: float, left_out: int
) -> dict[str, Any]:  # fmt: skip
    return {
        "output": root,
        "complete": manifest is not None,
        "images": manifest.images if manifest else None,
        "classes": len(encoding.class_names),
        "class_names": list(encoding.class_names),
        "left_out": left_out,
        "shards": encoding.shards,
        "skipped": [list(entry) for entry in manifest.skipped] if manifest else None,
        "image_size": encoding.making.image_size,
        "vae_sha256": encoding.making.vae_sha256,
        "scaling_factor": encoding.making.scaling,
        "encoded_now": new,
        "seconds": round(seconds, 3),
        "images_per_s": round(new / seconds, 3),
    }


def _print(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        from dit_grid.orchestrator.screen.tables import print_json

        print_json(summary)
        return
    speed = f"{summary['encoded_now']:,} images now, {summary['images_per_s']:.3g} images/s"
    if not summary["complete"]:
        click.echo(f"This share is done ({speed}); {summary['output']} still lacks shards of other hosts.")
        return
    skipped = summary["skipped"]
    click.echo(
        f"{summary['images']:,} images of {summary['classes']:,} classes in {summary['shards']:,} shards: "
        f"{summary['output']} ({speed})"
    )
    if skipped:
        click.echo(f"{counted(len(skipped), 'image')} could not be read and {was(len(skipped))} left out:", err=True)
        for name, reason in skipped[:SHOWN]:
            click.echo(f"  {name}: {reason}", err=True)


COMMANDS = (encode,)
