"""What a spec's runs need before any of them starts: data that fit, the files that evaluations name, a trainer.

All of it is known without a device, and told in one round. Of files of weights and references only whether they are
there is looked at; reading them, and judging what they hold, is each reader's own.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache

from dit_grid.experiments.data.dataset import DataError, Dataset
from dit_grid.experiments.data.fit import check_fit
from dit_grid.experiments.data.latents import LatentFolder
from dit_grid.experiments.data.registry import NEEDS_A_DEVICE, dataset_named
from dit_grid.experiments.data.remote import exists, is_remote
from dit_grid.experiments.metrics.mistakes import mistakes
from dit_grid.experiments.metrics.names import IMAGES, INCEPTION
from dit_grid.experiments.networks import publishers
from dit_grid.experiments.spec.any_run import AnyRun
from dit_grid.experiments.spec.measurement import EvalSetting
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.spec.source import Problem, SpecError
from dit_grid.experiments.spec.trainer import TrainerRun
from dit_grid.experiments.trainers.needed import faults

REFERENCES = (
    "ADM's are at github.com/openai/guided-diffusion/tree/main/evaluations (VIRTUAL_imagenet256_labeled.npz); your own "
    "is made by `dit-grid evaluate --make-reference FOLDER`"
)


def check_runs(runs: Iterable[AnyRun], file: str, here: bool = True) -> None:
    """Raise SpecError with one line for each thing that is wrong or missing: what no device is needed to know, at once.

    `file` is the spec's own, for the message. A place must be reachable from here as from the hosts of the runs; a
    trainer of one's own is only looked for if it is to run `here`.
    """
    found = list(runs)
    trainers = missing_trainers(found, file) if here else []
    if problems := [*spec_mistakes(found, file), *missing_files(found, file), *trainers]:
        raise SpecError(problems)


def check_needed_files(runs: Iterable[AnyRun], file: str) -> None:
    """Raise SpecError with one line for each place that the runs name and where nothing is; `check_runs` asks more."""
    if problems := missing_files(runs, file, contents=False):
        raise SpecError(problems)


def missing_files(runs: Iterable[AnyRun], file: str, remote: bool = True, contents: bool = True) -> list[Problem]:
    """A problem for each thing that a run needs and that is not there, with where to get it.

    With `contents` data that are there and cannot be opened, as a half-made encoding, count too. Without `remote`, what
    lies in a bucket is taken to be there: nothing goes over the network.
    """
    look = _Look(remote)
    found = (Problem(file, 0, *said) for run in _networks(runs) for said in _missing(run, look, contents))
    return list(dict.fromkeys(found))


def missing_trainers(runs: Iterable[AnyRun], file: str) -> list[Problem]:
    """A problem for each trainer of one's own that cannot be started here; each is looked for once."""
    trainers = {(run.trainer, run.folder): run for run in runs if isinstance(run, TrainerRun)}
    return [Problem(file, 0, path, text) for run in trainers.values() for path, text in faults(run)]


def spec_mistakes(runs: Iterable[AnyRun], file: str, remote: bool = True) -> list[Problem]:
    """A problem for each thing that a run asks of its data or measurements and cannot have, whatever is fetched.

    Of a dataset that is not there yet, or without `remote` lies in a bucket, only names are checked.
    """
    look = _Look(remote)
    found = (Problem(file, 0, *said) for run in _networks(runs) for said in _mistakes(run, look))
    return list(dict.fromkeys(found))


def _networks(runs: Iterable[AnyRun]) -> Iterator[RunSpec]:
    """Those of the runs that train our own network; a trainer of one's own sees to its data and measurements itself."""
    return (run for run in runs if isinstance(run, RunSpec))


class _Look:
    """What lies at places and in datasets, each looked at once: the runs of a grid share most of theirs."""

    def __init__(self, remote: bool) -> None:
        self._remote = remote
        self.fault = cache(self._fault)
        self._dataset = cache(self._open)

    def _fault(self, place: str) -> str:
        """Why a place cannot be read; empty if nothing is known against it."""
        if is_remote(place) and not self._remote:
            return ""
        try:
            return "" if exists(place) else "no such file or folder"
        except DataError as error:
            return str(error).removeprefix(f"{place}: ")

    def dataset(self, run: RunSpec) -> Dataset | str | None:
        """The run's dataset; why it cannot be read; or None where that takes a device, or it is not to be looked at."""
        name, path = run.data.name, run.data.path
        unseen = path is not None and (bool(self.fault(path)) or (is_remote(path) and not self._remote))
        if name in NEEDS_A_DEVICE or unseen:
            return None
        return self._dataset(name, path, run.model.image_size, run.data.heldout)

    @staticmethod
    def _open(name: str, path: str | None, image_size: int, heldout: int) -> Dataset | str:
        try:
            return dataset_named(name, path, image_size, heldout)
        except (DataError, OSError) as error:
            return str(error)


def _mistakes(run: RunSpec, look: _Look) -> Iterator[tuple[str, str]]:
    dataset = look.dataset(run)
    if dataset is None or isinstance(dataset, str):
        yield from mistakes(run.evaluate.settings, run.data.name)
        return
    try:
        check_fit(run, dataset)
    except DataError as error:
        yield "model", str(error).removeprefix(f"{run.id}: ")
    latents, holds_out = isinstance(dataset, LatentFolder), len(dataset.labels) != dataset.train_size
    yield from mistakes(run.evaluate.settings, dataset.name, holds_out, latents)


def _missing(run: RunSpec, look: _Look, contents: bool) -> Iterator[tuple[str, str]]:
    path = run.data.path
    if path is not None and (fault := look.fault(path)):
        yield (
            "data.path",
            f"{path}: {fault}; latents are made by `dit-grid encode FOLDER --vae FILE -o {path}`, and a folder of "
            "images in ImageNet's layout does as well",
        )
    elif contents and isinstance(why := look.dataset(run), str):
        yield "data", why
    for setting in run.evaluate.settings:
        for name, where in _named(setting):
            place = run.evaluate.files.get(name)
            if place is None:
                yield "evaluate.files", f"does not say where {name!r} lies; add `{name}: PATH`; {where(name)}"
            elif fault := look.fault(place):
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


def _where_vae(name: str) -> str:
    return f"the VAE is {publishers.VAE}"


def _where_features(name: str) -> str:
    if name.startswith(INCEPTION):
        return f"the FID network is {publishers.INCEPTION}, SHA-256 {publishers.INCEPTION_SHA256}…"
    return f"DINOv2 is {publishers.DINOV2}"
