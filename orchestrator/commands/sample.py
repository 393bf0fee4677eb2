"""`dit-grid sample`: pictures of a run's checkpoint or of published weights, as a sheet or as ADM's `.npz`.

Drawing is `experiments.sampling`; here are the request, what is printed, and where the files go.
"""

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dit_grid.orchestrator.commands.import_weights import objective_options
from dit_grid.orchestrator.commands.options import JSON, OLD_WHERE
from dit_grid.orchestrator.control.errors import RequestError

if TYPE_CHECKING:
    from dit_grid.experiments.sampling.pictures import Source
    from dit_grid.experiments.spec.measurement import EvalSetting
    from dit_grid.orchestrator.commands.hosts import Share

SHEET_CLASSES = 8
"""Classes of a sheet where the data have more than ten and none were asked for."""

MOST_ROWS = 10_000
"""Of a sheet; no picture file holds more."""

LATENT_PIXELS = 8
"""Pixels a side of one latent of the VAE that every published DiT uses."""


SAMPLERS = ["ddpm", "ddim", "dpmpp-2m", "ode-euler", "ode-heun", "sde-euler", "sde-heun"]
SDE_FORMS = ["constant", "sbdm", "sigma", "linear", "decreasing", "increasing-decreasing"]
LAST_STEPS = ["none", "mean", "euler", "tweedie"]


def sampling_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say how samples are drawn; without one, as the run's spec does, or for weights the paper."""
    for option in reversed((
        click.option("--sampler", type=click.Choice(SAMPLERS), help="How noise becomes an image."),
        click.option("--steps", type=click.IntRange(min=1), help="Steps of the sampler, or times of a path's grid."),
        click.option("--eta", type=click.FloatRange(0, 1), help="Noise that DDIM adds again, 0 to 1."),
        click.option("--clip/--no-clip", default=None, help="Keep each estimate of the image within [-1, 1]."),
        click.option("--sde-form", type=click.Choice(SDE_FORMS), help="What sde- samplers add, over time."),
        click.option("--sde-norm", type=float, help="Times this."),
        click.option("--last-step", type=click.Choice(LAST_STEPS), help="How sde- samplers end."),
        click.option("--last-step-size", type=float, help="How far from the image that begins."),
        click.option("--guidance", type=click.FloatRange(min=0), help="Classifier-free guidance; 1 is none."),
        click.option("--guidance-channels", metavar="N|all", help="Leading channels that guidance acts on."),
        click.option(
            "--guidance-interval", nargs=2, type=float, metavar="LOW HIGH", help="Guide at these timesteps alone."
        ),
        click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="Seed of noise and labels."),
        click.option("--vae", metavar="FILE", help="Weights that decode latents."),
    )):  # fmt: skip
        command = option(command)
    return command


@click.command()
@click.argument("runs", nargs=-1, metavar="[WHERE] [RUN...]")
@OLD_WHERE
@click.option("--step", type=int, help="Checkpoint of this step instead of the newest.")
@click.option("--raw", is_flag=True, help="The raw weights, not their average (EMA).")
@click.option("--weights", type=click.Path(path_type=Path), help="A published or imported DiT file or folder.")
@click.option("--model", help="With --weights: what the file should hold, as XL/2.")
@click.option("--image-size", type=int, help="With --weights: pixels a side, where no config.json says it.")
@objective_options
@sampling_options
@click.option("--classes", help="Rows of the sheet, e.g. 207,360 or 0-9.")
@click.option("--seeds", default=8, show_default=True, type=click.IntRange(1, 1000), help="Columns of the sheet.")
@click.option("-o", "--out", metavar="PATH", help="The sheet's name, or a folder for several; may be at gs://.")
@click.option("--npz", metavar="FILE", help="Write ADM's form here, not a sheet; may be at gs://.")
@click.option("--count", type=click.IntRange(1, 2**31 - 1), help="With --npz: how many samples (default 50,000).")
@click.option("--labels", type=click.Choice(["data", "uniform"]), help="With --npz: the data's mix, or at random.")
@click.option("--data", metavar="PLACE", help="Where a RUN's data lie now, if not where it was trained.")
@click.option("--host", metavar="I/N", help="With --npz: draw share I of N; default as the launcher says, or all.")
@JSON
def sample(
    runs: tuple[str, ...], where: str | None, step: int | None, raw: bool, weights: Path | None, model: str | None,
    image_size: int | None, classes: str | None, seeds: int, out: str | None, npz: str | None, count: int | None,
    labels: str | None, data: str | None, host: str | None, as_json: bool, vae: str | None, path: str | None,
    prediction: str | None, **asked: Any,
) -> None:  # fmt: skip
    """Draw pictures: a sheet (rows are classes, columns noises), or with --npz many samples for any FID program.

    RUN is an id, a model, or a pattern of either. Column 3 has the same noise in every row and for every run.

    \b
    dit-grid sample XL/2
    dit-grid sample results/digits XL/2
    dit-grid sample 'S/*' 'XL/*' --classes 0-4 --guidance 4 -o sheets
    dit-grid sample XL/2 --npz samples.npz --count 50000
    dit-grid sample --weights DiT-XL-2-256x256.pt --vae vae.safetensors --guidance 4 --classes 207,360
    dit-grid sample --weights SiT-XL-2-256x256.pt --path linear --prediction velocity --vae vae.safetensors

    Interrupted, a --npz goes on where it was; hosts that share a disk share the work.
    """
    from dit_grid.orchestrator.commands.where import parted
    from dit_grid.orchestrator.screen.notices import plain_warnings

    where, runs = parted(runs, where)
    if bool(runs) == bool(weights):
        raise RequestError("name a RUN of the store, e.g. XL/2, or give a file of weights with --weights; not both")
    if npz is None and (count or labels or host):
        raise RequestError("--count, --labels and --host are of --npz FILE; a sheet has --classes and --seeds")
    if runs and (path or prediction):
        raise RequestError("--path and --prediction are of --weights FILE; a run's spec says what it was trained on")
    with plain_warnings():
        if weights:
            size = None if image_size is None else _latents(image_size)
            objective = {"path": path, "prediction": prediction}
            named = {weights.stem: lambda: _of_file(weights, vae, raw, model, size, objective)}
        else:
            named = _of_runs(runs, where, step, raw, vae, data)
        if npz is not None:
            written = [_npz(named, npz, count or 50_000, labels, host, asked)]
        else:
            written = [
                _sheet(source(), _place(out, name, len(named)), classes, seeds, asked) for name, source in named.items()
            ]
    _print(written, as_json)


def changed(setting: "EvalSetting", asked: dict[str, Any]) -> "EvalSetting":
    """The setting with what was asked for on the command line; raises RequestError for values that are not allowed."""
    from dit_grid.experiments.spec.measurement import SDE_FIELDS

    changes = {name: value for name, value in asked.items() if value is not None and name != "guidance_channels"}
    own = setting.model_dump()
    if not changes.get("sampler", setting.sampler).startswith("sde"):
        own = {name: value for name, value in own.items() if name not in SDE_FIELDS}
    channels = asked.get("guidance_channels")
    if channels is not None:
        if channels != "all" and not re.fullmatch(r"[1-9]\d{0,5}", channels, re.ASCII):
            raise RequestError(f"--guidance-channels {channels[:60]}: a number of at least 1, or all")
        changes["guidance_channels"] = None if channels == "all" else int(channels)
    try:
        return type(setting).model_validate(own | changes)
    except ValueError as error:
        raise RequestError(f"the settings asked for do not fit: {' '.join(str(error).split())}") from error


def _of_file(
    path: Path, vae: str | None, raw: bool, model: str | None, latents: int | None, objective: dict[str, str | None]
) -> "Source":
    from dit_grid.experiments.sampling.pictures import source_of_file

    return source_of_file(path, vae, "raw" if raw else "ema", model, latents, objective)


def _of_runs(
    runs: tuple[str, ...], where: str | None, step: int | None, raw: bool, vae: str | None, data: str | None
) -> "dict[str, Callable[[], Source]]":
    from dit_grid.experiments.sampling.pictures import source_of_run
    from dit_grid.experiments.store import Store
    from dit_grid.orchestrator.commands.where import runs_matching, store_of

    store = Store.open(store_of(where))
    return {
        run_id: partial(source_of_run, store, run_id, step, "raw" if raw else None, vae, data)
        for run_id in runs_matching(store, runs)
    }


def _sheet(source: "Source", place: str, classes: str | None, seeds: int, asked: dict[str, Any]) -> dict[str, Any]:
    import json

    import numpy as np
    from PIL.PngImagePlugin import PngInfo

    from dit_grid.experiments.data.remote import saved
    from dit_grid.experiments.sampling.pictures import described, draw
    from dit_grid.experiments.sampling.sheets import draw_sheet
    from dit_grid.orchestrator.screen.notices import progress

    setting, rows = changed(source.setting, asked), _classes(classes, source.classes)
    made = described(source, setting) | {"classes": rows, "seeds": seeds}
    labels, numbers = np.repeat(np.array(rows, np.int32), seeds), np.tile(np.arange(seeds), len(rows))
    chunks = []
    with progress(f"{source.title}: samples", len(labels)) as counter:
        for chunk in draw(source, setting, labels, numbers):
            chunks.append(chunk)
            counter.add(len(chunk))
    images = np.concatenate(chunks)
    picture = draw_sheet(
        images.reshape(len(rows), seeds, *images.shape[1:]), [str(row) for row in rows],
        [str(column) for column in range(seeds)], _caption(source.title, made),
    )  # fmt: skip
    text = PngInfo()
    text.add_text("dit-grid", json.dumps(made))
    with saved(place) as path:
        picture.save(path, "PNG", pnginfo=text)
    return made | {"file": place, "samples": len(images)}


def _npz(
    named: "dict[str, Callable[[], Source]]", place: str, count: int, labels: str | None, host: str | None,
    asked: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    from dit_grid.experiments.sampling.pictures import asked_labels, chunk_size, described, draw
    from dit_grid.experiments.sampling.sample_files import Job, write_samples
    from dit_grid.orchestrator.commands.hosts import share
    from dit_grid.orchestrator.screen.notices import progress

    if len(named) > 1:
        raise RequestError(f"--npz takes one run, not {len(named)}: {', '.join(named)}")
    mine = share(host, os.environ)
    source = next(iter(named.values()))()
    setting = changed(source.setting, asked | {"labels": labels})
    made = described(source, setting) | {"labels": setting.labels}
    job = Job(asked_labels(source, setting, count), chunk_size(source.config), made)
    with progress(f"{source.title}: samples", _share_of(job, mine)) as counter:
        whole = write_samples(
            place, job, lambda labels, numbers: draw(source, setting, labels, numbers),
            host=mine.host, hosts=mine.hosts, drawn=lambda n, new: counter.add(n) if new else counter.skip(n),
        )  # fmt: skip
    return made | {"file": place, "samples": count, "complete": whole}


def _share_of(job: Any, mine: "Share") -> int:
    return sum(len(job.places(index)) for index in range(mine.host, job.parts, mine.hosts))


def _classes(asked: str | None, count: int) -> list[int]:
    """The classes of a sheet's rows; all of ten or fewer, else some spread over all."""
    if asked is None:
        return list(range(count)) if count <= 10 else [round(i * (count - 1) / 7) for i in range(SHEET_CLASSES)]
    found: list[int] = []
    for part in asked.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part, re.ASCII)
        if not match:
            raise RequestError(
                f"--classes {asked[:60]}: {part[:60]!r} is no number or range; give for example 207,360 or 0-9"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if last >= count or len(found) > MOST_ROWS:
            raise RequestError(f"--classes {asked[:60]}: allowed are 0 to {count - 1}, of {MOST_ROWS:,} rows at most")
        found += range(first, last + 1)
    if not found:
        raise RequestError(f"--classes {asked[:60]}: no class; allowed are 0 to {count - 1}")
    return found


def _latents(pixels: int) -> int:
    if pixels < LATENT_PIXELS or pixels % LATENT_PIXELS:
        raise RequestError(f"--image-size {pixels}: pixels of the images, a multiple of {LATENT_PIXELS}, as 256 or 512")
    return pixels // LATENT_PIXELS


def _place(out: str | None, name: str, sheets: int) -> str:
    if out is None:
        return f"{name}.png"
    in_a_folder = sheets > 1 or not out.endswith(".png") or Path(out).is_dir()
    return f"{out.rstrip('/')}/{name}.png" if in_a_folder else out


def _caption(title: str, made: dict[str, Any]) -> str:
    guidance = f"guidance {made['guidance']:g}"
    if made["guidance"] != 1 and made["guidance_channels"]:
        guidance += f" on {made['guidance_channels']} channels"
    return f"{title}; {made['sampler']}, {made['sampler_steps']} steps, {guidance}, seed {made['seed']}"


def _print(written: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        from dit_grid.orchestrator.screen.tables import print_json

        print_json(written)
        return
    for one in written:
        if not one.get("complete", True):
            click.echo(f"This share is done; {one['file']} still waits for parts of other hosts.")
        else:
            click.echo(f"{one['samples']:,} samples: {one['file']}")


COMMANDS = (sample,)
