"""What a spec's runs need to find before any of them starts: data, the files that evaluations name, a trainer.

Only whether things are there is looked at; reading them, and judging what they hold, is each reader's own.
"""

from collections.abc import Callable, Iterable, Iterator

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.data.remote import exists
from dit_grid.experiments.metrics.names import IMAGES, INCEPTION
from dit_grid.experiments.spec.any_run import AnyRun
from dit_grid.experiments.spec.run import EvalSetting, RunSpec
from dit_grid.experiments.spec.source import Problem, SpecError
from dit_grid.experiments.spec.trainer import TrainerRun
from dit_grid.experiments.trainers.needed import faults

REFERENCES = (
    "ADM's are at github.com/openai/guided-diffusion/tree/main/evaluations (VIRTUAL_imagenet256_labeled.npz); your own "
    "is made by `dit-grid evaluate --make-reference FOLDER`"
)


def check_needed_files(runs: Iterable[AnyRun], file: str, here: bool = True) -> None:
    """Raise SpecError with one line for each thing that is missing: where the spec names it, and where to get it.

    `file` is the spec's own, for the message. A place must be reachable from here as from the hosts of the runs; a
    trainer of one's own is only looked for if it is to run `here`.
    """
    asked = list(runs)
    ours = [run for run in asked if isinstance(run, RunSpec)]
    trainers = {(run.trainer, run.folder): run for run in asked if isinstance(run, TrainerRun)}
    problems = [Problem(file, 0, path, message) for run in ours for path, message in _missing(run)]
    if here:
        problems += [Problem(file, 0, path, text) for run in trainers.values() for path, text in faults(run)]
    if problems:
        raise SpecError(problems)


def _missing(run: RunSpec) -> Iterator[tuple[str, str]]:
    path = run.data.path
    if path is not None and (fault := _fault(path)):
        yield (
            "data.path",
            f"{path}: {fault}; latents are made by `dit-grid encode FOLDER --vae FILE -o {path}`, and a folder of "
            "images in ImageNet's layout does as well",
        )
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
