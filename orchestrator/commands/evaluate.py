"""`dit-grid evaluate`: scores of samples that any program made, of a run's checkpoint, and reference statistics.

Scoring files is `experiments.scoring`, checkpoints `experiments.checkpoint_scores`; here are the request and the table.
"""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dit_grid.model.plurals import counted
from dit_grid.orchestrator.commands.options import JSON, OLD_WHERE
from dit_grid.orchestrator.commands.sample import changed, sampling_options
from dit_grid.orchestrator.control.errors import RequestError
from dit_grid.orchestrator.screen.prose import print_text

if TYPE_CHECKING:
    from dit_grid.experiments.evaluation.image_sets import ImageSet
    from dit_grid.experiments.networks.features import FeatureNetwork
    from dit_grid.experiments.spec.measurement import EvalSetting
    from dit_grid.experiments.spec.run import RunSpec

DIGITS = "digits"
COLUMNS = {"metric": "metric", "value": "value", "samples": "samples", "reference": "reference", "features": "features"}
DRAWN = {"step": "step", "weights": "weights", "sampler": "sampler", "steps": "sampler_steps", "guidance": "guidance"}


@click.command()
@click.argument("words", nargs=-1, metavar="[WHERE] TARGET")
@click.option("--reference", metavar="FILE", help="Reference statistics, .npz, on a disk or at gs://.")
@click.option(
    "--features",
    help="Feature network: Inception's weights, NAME=FILE (inception-clean-fid=…), package:function, or digits.",
)
@click.option("--metrics", help="Only these, e.g. fid,precision,recall; default: all that can be had.")
@click.option("--make-reference", is_flag=True, help="Make reference statistics of TARGET's images, written to -o.")
@click.option("--image-size", type=click.IntRange(min=8), help="Crop the images of a folder as ADM does.")
@click.option("-o", "--out", metavar="FILE", help="Where the reference is written; may be at gs://.")
@OLD_WHERE
@click.option("--step", type=int, help="Of a RUN: checkpoint of this step instead of the newest.")
@click.option("--raw", is_flag=True, default=None, help="Of a RUN: the raw weights, not their average (EMA).")
@click.option("--data", metavar="PLACE", help="Of a RUN: where its data lie now, if not where it was trained.")
@click.option("--samples", type=click.IntRange(min=1), help="Of a RUN: how many samples.")
@click.option("--labels", type=click.Choice(["data", "uniform"]), help="Of a RUN: the data's mix, or at random.")
@sampling_options
@click.option("--record", is_flag=True, help="Of a RUN that is done: add the rows to its store.")
@JSON
def evaluate(
    words: tuple[str, ...], reference: str | None, features: str | None, metrics: str | None, make_reference: bool,
    image_size: int | None, out: str | None, as_json: bool, **run_options: Any,
) -> None:  # fmt: skip
    """Score samples, whoever made them, against reference statistics; or a RUN's checkpoint; or make a reference.

    \b
    dit-grid evaluate samples.npz --reference VIRTUAL_imagenet256_labeled.npz --features pt_inception.pth
    dit-grid evaluate imagenet/train --make-reference --image-size 256 --features pt_inception.pth -o imagenet256.npz
    dit-grid evaluate S/4 --samples 1000 --guidance 1.5 --record

    TARGET is an .npz with arr_0 (ADM's form), on a disk or at gs://, a folder of images, or a run's id or model, of the
    store at WHERE (a spec, a store or a gs:// URL; without it the newest store here). FID,
    sFID, Inception Score, precision and recall are those of ADM's suite; references of ADM, pytorch-fid and MeanFlow
    are read.
    """
    from dit_grid.experiments.data.remote import is_remote
    from dit_grid.orchestrator.screen.notices import plain_warnings

    target, run_options["where"] = _target(words, run_options["where"])
    if target is None:
        raise RequestError("name what to score: an .npz of samples, a folder of images, or a RUN, e.g. XL/2")
    asked = tuple(name.strip() for name in metrics.split(",")) if metrics else ()
    with plain_warnings():
        if make_reference:
            _make_reference(_images(target), features, image_size, out, as_json)
        elif is_remote(target) or Path(target).exists() or target.endswith(".npz"):
            _refuse_run_options(run_options)
            _score_file(_images(target), reference, features, asked, image_size, as_json)
        else:
            _score_run(target, reference, features, asked, as_json, **run_options)


def _target(words: tuple[str, ...], where: str | None) -> tuple[str | None, str | None]:
    """What is to be scored, and the store that it is a run of; of one word that is what is to be scored."""
    from dit_grid.orchestrator.commands.where import parted

    if len(words) < 2:
        return (words[0] if words else None), where
    place, rest = parted(words, where)
    if len(rest) != 1:
        raise RequestError(f"got {' '.join(words)}; name one thing to score, after the store that it is a run of")
    return rest[0], place


def _make_reference(
    path: Path, features: str | None, image_size: int | None, out: str | None, as_json: bool
) -> None:  # fmt: skip
    from dit_grid.experiments.data.remote import saved
    from dit_grid.experiments.evaluation.foreign_images import make_reference, summary
    from dit_grid.experiments.evaluation.image_sets import image_set
    from dit_grid.orchestrator.screen.notices import progress
    from dit_grid.orchestrator.screen.tables import print_json

    if out is None or not out.endswith(".npz"):
        raise RequestError(f"-o {out or ''}: name the file for the reference, ending in .npz, e.g. -o reference.npz")
    images, network = image_set(path, image_size), _network(features)
    _say_left_out(images)
    with progress("images", images.count) as counter, saved(out) as written:
        made = summary(make_reference(images, network, written, counter.add), written) | {"reference": out}
    if as_json:
        print_json(made)
        return
    size = "x".join(map(str, made["image_size"]))
    print_text(f"{out}: {made['images']:,} images of {size}, {made['features']}; SHA-256 {made['reference_sha256']}")


def _score_file(
    path: Path, reference: str | None, features: str | None, asked: tuple[str, ...], image_size: int | None,
    as_json: bool,
) -> None:  # fmt: skip
    from dit_grid.experiments.data.remote import local_copy
    from dit_grid.experiments.evaluation.foreign_images import score_digits, score_images
    from dit_grid.experiments.evaluation.image_sets import image_set
    from dit_grid.orchestrator.screen.notices import progress

    images = image_set(path, image_size)
    _say_left_out(images)
    network = None if features == DIGITS or (features is None and _are_digits(images)) else _network(features)
    with progress("images", images.count) as counter:
        if network is None:
            found = score_digits(images, asked, counter.add)
        else:
            compared = local_copy(reference) if reference else None
            found = score_images(images, network, compared, asked, counter.add)
    _print([asdict(score) for score in found], COLUMNS, as_json)


def _images(target: str) -> Path:
    """Where the images lie on this machine."""
    from dit_grid.experiments.data.remote import is_remote, local_copy

    if is_remote(target) and not target.endswith(".npz"):
        raise RequestError(f"{target}: at gs:// images are read from an .npz with arr_0; copy a folder to a disk first")
    return local_copy(target)


def _say_left_out(images: "ImageSet") -> None:
    if images.left_out:
        print_text(images.left_out, err=True)


def _are_digits(images: "ImageSet") -> bool:
    return next(images.chunks()).shape[1:] == (8, 8, 1)


def _network(features: str | None) -> "FeatureNetwork":
    from dit_grid.experiments.data.remote import local_copy
    from dit_grid.experiments.metrics.extractors import feature_network
    from dit_grid.experiments.networks.publishers import INCEPTION, INCEPTION_SHA256

    if features is None:
        raise RequestError(
            f"add --features FILE, the FID network: {INCEPTION} (its SHA-256 begins with {INCEPTION_SHA256})"
        )
    name, weights = _named(features)
    return feature_network(name, local_copy(weights) if weights else None)


def _named(features: str) -> tuple[str, str | None]:
    """Name and weight file of --features: a file alone is Inception's."""
    name, equals, file = features.partition("=")
    if equals:
        return name, file
    return (features, None) if ":" in features and not Path(features).exists() else ("inception", features)


def _score_run(
    target: str, reference: str | None, features: str | None, asked: tuple[str, ...], as_json: bool, *,
    where: str | None, step: int | None, record: bool, vae: str | None, raw: bool | None, data: str | None,
    **sampling: Any,
) -> None:  # fmt: skip
    from dit_grid.experiments.evaluation.partial_state import StoppedError
    from dit_grid.experiments.running.later_evaluation import check_recordable, measure, record as record_rows
    from dit_grid.experiments.sampling.pictures import run_spec
    from dit_grid.experiments.store import Store
    from dit_grid.orchestrator.commands.where import runs_matching, store_of
    from dit_grid.orchestrator.control.signals import stop_signals

    store = Store.open(store_of(where))
    sampling["weights"] = "raw" if raw else None
    rows = []
    for run_id in runs_matching(store, [target]):
        if record:
            check_recordable(store, run_id)
        settings, files = _settings(run_spec(store, run_id, data), asked, reference, features, vae, sampling)
        with stop_signals(_say_stopping) as stop_requested:
            try:
                found = measure(store, run_id, step, settings, files, _say(run_id), stop_requested, data)
            except StoppedError:
                raise KeyboardInterrupt from None
        if record:
            attempt = record_rows(store, run_id, found)
            said = f"{counted(len(found), 'row')} recorded as attempt {attempt}"
            print_text(f"{store.paths.root}: {run_id}: {said}", err=True)
        rows += [{"run": run_id} | row for row in found]
    _print(rows, {"run": "run"} | COLUMNS | DRAWN, as_json)


def _settings(
    run: "RunSpec", asked: tuple[str, ...], reference: str | None, features: str | None, vae: str | None,
    sampling: dict[str, Any],
) -> "tuple[tuple[EvalSetting, ...], dict[str, str]]":  # fmt: skip
    """The spec's own settings, or, where anything is asked for, the one by which it samples with that changed; and
    where the files that were asked for lie, by the names that settings use."""
    from dit_grid.experiments.sampling.pictures import default_setting

    changes, files = dict(sampling), {}
    for field, path in (("reference", reference), ("decoder", vae)):
        if path is not None:
            known = [name for name, place in run.evaluate.files.items() if place == path]
            changes[field] = known[0] if known else Path(path).stem
            files[changes[field]] = path
    if features and features != DIGITS:
        changes["features"], weights = _named(features)
        files |= {changes["features"]: weights} if weights else {}
    if asked:
        changes["metrics"] = asked
    if all(value is None for value in changes.values()):
        return run.evaluate.settings, files
    return (changed(default_setting(run), changes),), files


def _refuse_run_options(given: dict[str, Any]) -> None:
    names = [f"--{name.replace('_', '-')}" for name, value in given.items() if value not in (None, False)]
    if names:
        raise RequestError(f"{', '.join(names)}: of a RUN alone; the samples of a file are what they are")


def _say(run_id: str) -> Callable[[dict[str, Any]], None]:
    return lambda row: click.echo(f"{run_id}: {row['metric']} {row['value']:.6g}", err=True)


def _say_stopping() -> None:
    click.echo("Stopping after this chunk of samples; what is done is kept. Once more to stop at once.", err=True)


def _print(rows: list[dict[str, Any]], columns: dict[str, str], as_json: bool) -> None:
    from dit_grid.orchestrator.screen.tables import print_json, print_rows

    if as_json:
        print_json(rows)
        return
    print_rows(columns, [{key: row.get(key) for key in columns.values()} for row in rows])


COMMANDS = (evaluate,)
