"""What is wrong with the measurements that a spec asks for, as far as their names and the kind of dataset tell.

Nothing is read and nothing of weight imported, so that it is known before anything is reserved. Whether the files named
are what they should be is their readers' business.
"""

from collections.abc import Iterable, Iterator

from dit_grid.experiments.metrics.names import HELDOUT_LOSS, IMAGES, OWN
from dit_grid.experiments.spec.measurement import EvalSetting
from dit_grid.experiments.spec.validate import nearest
from dit_grid.model.entry_points import registered


def mistakes(
    settings: Iterable[EvalSetting], dataset: str, holds_out: bool | None = None, latents: bool | None = None
) -> Iterator[tuple[str, str]]:
    """Yield (path in the spec, what is wrong) of every mistake in the settings, for samples of the named dataset.

    `holds_out` says whether it has held-out images, `latents` whether its images are latents; None where that is not
    known, and what depends on it is then passed over.
    """
    for number, setting in enumerate(settings):
        where = f"evaluate.settings[{number}]"
        yield from ((f"{where}.metrics", message) for message in _metric_mistakes(setting, dataset, holds_out))
        if lacking := without_reference(setting):
            yield where, lacking
        if latents is not None and (message := decoder_mistake(setting, latents)):
            yield f"{where}.decoder", message


def _metric_mistakes(setting: EvalSetting, dataset: str, holds_out: bool | None) -> Iterator[str]:
    known = [*dict.fromkeys([HELDOUT_LOSS, *OWN.get(dataset, ()), *IMAGES, *registered("metrics")])]
    for name in setting.metrics:
        if name not in known:
            yield f"no metric {name!r} for {dataset}{nearest(name, known)}; known: {', '.join(known)}"
        if name == HELDOUT_LOSS and holds_out is False:
            yield (
                f"{HELDOUT_LOSS}: {dataset} holds out no image; set data.heldout to as many as it shall be measured on"
            )


def without_reference(setting: EvalSetting) -> str:
    """What to add to a setting whose metrics compare with a reference that it does not name; empty if nothing."""
    compared = [name for name in setting.metrics if name in IMAGES and (IMAGES[name].statistics or IMAGES[name].images)]
    if setting.reference is not None or not compared:
        return ""
    return f"{', '.join(compared)}: the setting names no reference; add `reference: NAME` to it"


def decoder_mistake(setting: EvalSetting, latents: bool) -> str:
    """What is wrong with the decoder of a setting that measures images; empty if nothing."""
    images = [name for name in setting.metrics if name in IMAGES]
    if images and latents and setting.decoder is None:
        return (
            f"{', '.join(images)}: samples are latents; name the autoencoder that turns them into images, `decoder: "
            "NAME` in the setting"
        )
    if images and setting.decoder is not None and not latents:
        return f"decoder {setting.decoder!r}: samples of this dataset are images already; remove it"
    return ""
