"""What a spec's runs need before any of them starts: data that fit, and the files that its evaluations name.

All of it is known without a device, and told in one round. Of files of weights and references only whether they are
there is looked at; reading them, and judging what they hold, is each reader's own.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache

from dit_grid.experiments.data.dataset import DataError, Dataset
from dit_grid.experiments.data.fit import check_fit
from dit_grid.experiments.data.latents import LatentFolder
from dit_grid.experiments.data.registry import NEEDS_A_DEVICE, dataset_named
from dit_grid.experiments.data.remote import exists
from dit_grid.experiments.metrics.asked import mistakes
from dit_grid.experiments.metrics.names import IMAGES, INCEPTION
from dit_grid.experiments.spec.run import EvalSetting, RunSpec
from dit_grid.experiments.spec.source import Problem, SpecError

REFERENCES = (
    "ADM's are at github.com/openai/guided-diffusion/tree/main/evaluations (VIRTUAL_imagenet256_labeled.npz); your own "
    "is made by `dit-grid evaluate --make-reference FOLDER`"
)


def check_needed_files(runs: Iterable[RunSpec], file: str) -> None:
    """Raise SpecError with one line for each thing that is wrong or missing: what no device is needed to know, at once.

    `file` is the spec's own, for the message. A place must be reachable from here as from the hosts of the runs.
    """
    found = list(runs)
    if problems := [*spec_mistakes(found, file), *missing_files(found, file)]:
        raise SpecError(problems)


def missing_files(runs: Iterable[RunSpec], file: str) -> list[Problem]:
    """A problem for each thing that a run needs and that is not there, or not whole, with where to get it."""
    return list(dict.fromkeys(Problem(file, 0, path, message) for run in runs for path, message in _missing(run)))


def spec_mistakes(runs: Iterable[RunSpec], file: str) -> list[Problem]:
    """A problem for each thing that a run asks of its data or measurements and cannot have, whatever is fetched.

    Of a dataset that is not there yet only names are checked.
    """
    return list(dict.fromkeys(Problem(file, 0, path, message) for run in runs for path, message in _mistakes(run)))


def _mistakes(run: RunSpec) -> Iterator[tuple[str, str]]:
    dataset = _opened(run)
    if not isinstance(dataset, str) and dataset is not None:
        try:
            check_fit(run, dataset)
        except DataError as error:
            yield "model", str(error).removeprefix(f"{run.id}: ")
        latents, holds_out = isinstance(dataset, LatentFolder), len(dataset.labels) != dataset.train_size
        yield from mistakes(run.evaluate.settings, dataset.name, holds_out, latents)
    else:
        yield from mistakes(run.evaluate.settings, run.data.name)


def _opened(run: RunSpec) -> Dataset | str | None:
    """The run's dataset; why it cannot be read; or None where that would take a device, or there is nothing yet."""
    data = run.data
    if data.name in NEEDS_A_DEVICE or (data.path is not None and _fault(data.path)):
        return None
    return _dataset(data.name, data.path, run.model.image_size, data.heldout)


@cache
def _dataset(name: str, path: str | None, image_size: int, heldout: int) -> Dataset | str:
    try:
        return dataset_named(name, path, image_size, heldout)
    except (DataError, OSError) as error:
        return str(error)


def _missing(run: RunSpec) -> Iterator[tuple[str, str]]:
    path = run.data.path
    if path is not None and (fault := _fault(path)):
        yield (
            "data.path",
            f"{path}: {fault}; latents are made by `dit-grid encode FOLDER --vae FILE -o {path}`, and a folder of "
            "images in ImageNet's layout does as well",
        )
    elif isinstance(why := _opened(run), str):
        yield "data", why
    for setting in run.evaluate.settings:
        for name, where in _named(setting):
            place = run.evaluate.files.get(name)
            if place is None:
                yield "evaluate.files", f"does not say where {name!r} lies; add `{name}: PATH`; {where(name)}"
            elif fault := _fault(place):
                yield f"evaluate.files.{name}", f"{place}: {fault}; {where(name)}"


def _named(setting: EvalSetting) -> Iterator[tuple[str, Callable[[str], str]]]:
    """Names of the files that a setting needs, and what says where each is to be had."""
    asked = [IMAGES[name] for name in setting.metrics if name in IMAGES]
    if setting.decoder:
        yield setting.decoder, _where_vae
    features = setting.features or INCEPTION
    if asked and ":" not in features:
        yield features, _where_features
    if setting.reference and any(need.statistics or need.images for need in asked):
        yield setting.reference, lambda name: REFERENCES


def _fault(place: str) -> str:
    try:
        return "" if exists(place) else "no such file or folder"
    except DataError as error:
        return str(error).removeprefix(f"{place}: ")


def _where_vae(name: str) -> str:
    from dit_grid.experiments.networks.autoencoder_weights import WHERE

    return f"the VAE is {WHERE}"


def _where_features(name: str) -> str:
    if name.startswith(INCEPTION):
        from dit_grid.experiments.networks.inception_weights import PUBLISHED_SHA256, WHERE

        return f"the FID network is {WHERE}, SHA-256 {PUBLISHED_SHA256}…"
    from dit_grid.experiments.networks.dinov2_weights import WHERE as WHERE_DINOV2

    return f"DINOv2 is {WHERE_DINOV2}"
