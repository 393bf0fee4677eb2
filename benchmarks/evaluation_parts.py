"""Encoding images to latents, and where the time of one evaluation goes: sampling, decoding, features, statistics.

    python benchmarks/evaluation_parts.py                               S/2 at 256 pixels, 4 samples: about 10 minutes
    python benchmarks/evaluation_parts.py --model S/8 --steps 50        less sampling a sample

Weights are random but of the published names, shapes and sizes: the VAE of 83.7 million parameters, the FID network of
23.9 million. The commands are a user's: `encode` on a folder of images, `evaluate --make-reference`, and a `launch`
of one run of one step whose evaluation is FID, sFID, Inception Score, precision and recall. Prints images encoded a
second (each is encoded twice, as it is and flipped; compilation is outside), and the seconds and share of each part, as
the columns of the store's evals table say, first use with compilation and then again.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

from dit_grid.analysis import load
from dit_grid.experiments.networks.autoencoder import VAEConfig
from dit_grid.experiments.networks.autoencoder_weights import tensor_shapes as vae_shapes
from dit_grid.experiments.networks.inception_weights import tensor_shapes as inception_shapes

SPEC = """
name: parts
store: {folder}/store
grid:
  model.size: ["{size}"]
  model.patch: [{patch}]
model: {{image_size: 32, channels: 4, classes: 2}}
data: {{name: latents, path: {folder}/latents}}
train: {{steps: 1, batch: 2, log_every: 1}}
evaluate:
  every: 1
  files:
    vae: {folder}/vae.safetensors
    inception: {folder}/inception.safetensors
    reference: {folder}/reference.npz
  settings:
    - {{metrics: [fid, sfid, is, precision, recall], samples: {samples}, steps: {steps}, decoder: vae,
       features: inception, reference: reference}}
    - {{metrics: [fid, sfid, is, precision, recall], samples: {samples}, steps: {steps}, decoder: vae,
       features: inception, reference: reference, seed: 1}}
"""
PARTS = ("sampling_s", "decoding_s", "features_s", "statistics_s")


def main() -> None:
    """Make the files, encode, evaluate, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="S/2")
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--steps", type=int, default=250)
    asked = parser.parse_args()
    size, patch = asked.model.split("/")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_files(folder)
        encoding(folder)
        images, features = str(folder / "images"), str(folder / "inception.safetensors")
        dit_grid(
            "evaluate", images, "--make-reference", "--image-size", "256", "--features", features,
            "-o", str(folder / "reference.npz"),
        )  # fmt: skip
        spec = folder / "parts.yaml"
        spec.write_text(SPEC.format(folder=folder, size=size, patch=patch, samples=asked.samples, steps=asked.steps))
        dit_grid("launch", str(spec))
        rows = load(str(folder / "store")).evals
    for seed, what in ((0, "with compilation"), (1, "again")):
        row = rows[rows["seed"] == seed].iloc[0]
        shares = ", ".join(f"{part[:-2]} {row[part]:.1f} s ({row[part] / row['seconds']:.1%})" for part in PARTS)
        print(
            f"{asked.model}, {asked.samples} samples of {asked.steps} steps, {what}: {row['seconds']:.1f} s: {shares}"
        )


def make_files(folder: Path) -> None:
    """The two networks' files, and two folders of images in two classes."""
    draw = np.random.default_rng(0)
    for name, shapes in (("vae", vae_shapes(VAEConfig())), ("inception", inception_shapes())):
        save_file({key: random(key, shape, draw) for key, shape in shapes.items()}, folder / f"{name}.safetensors")
    for place, count in (("few", 4), ("images", 16)):
        for label in ("a", "b"):
            (folder / place / label).mkdir(parents=True)
            for i in range(count):
                pixels = draw.integers(0, 256, (256, 256, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / place / label / f"{i}.png")


def random(name: str, shape: tuple[int, ...], draw: np.random.Generator) -> np.ndarray:
    """Weights that keep activations near 1; batch norms that change little."""
    if len(shape) > 1:
        return (draw.standard_normal(shape) * np.prod(shape[1:]) ** -0.5).astype(np.float32)
    zero = name.endswith(("bias", "running_mean"))
    return np.zeros(shape, np.float32) if zero else np.ones(shape, np.float32)


def encoding(folder: Path) -> None:
    """Encode 8 images and 32, and print the images a second between the two, which leaves start and compilation out."""
    took = {}
    for place, out in (("few", "few-latents"), ("images", "latents")):
        started = time.perf_counter()
        vae, to = str(folder / "vae.safetensors"), str(folder / out)
        said = dit_grid("encode", str(folder / place), "--vae", vae, "-o", to, "--batch", "8", "--json")
        took[json.loads(said)["images"]] = time.perf_counter() - started
    (few, short), (many, long) = took.items()
    print(f"encode at 256 pixels: {(many - few) / (long - short):.3f} images/s, each as it is and flipped", flush=True)


def dit_grid(*arguments: str) -> str:
    """What the command prints on standard output; what it says on the other, errors too, goes to the screen."""
    command = [str(Path(sys.executable).with_name("dit-grid")), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    main()
