"""What the hours of a run are made of, term by term, each with where its figure is from.

Updates and sampling come from the run's speed. The rest is reckoned here: from what was measured (docs/performance.md),
from what the TPU compiler says, from the spec, or from an assumption that the spec may replace.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dit_grid.experiments.running.owed_evaluations import evaluation_steps, settings_due
from dit_grid.experiments.spec import AnyRun, EvalSetting, PriceSpec, RunSpec
from dit_grid.experiments.spec.any_run import costs
from dit_grid.experiments.spec.execution import ResourceSpec
from dit_grid.experiments.spec.slices import CORES_PER_CHIP, slice_hosts
from dit_grid.model.accounting import DEVICE_PEAKS
from dit_grid.model.plurals import counted
from dit_grid.orchestrator.planning.first_reading import RGB, heldout_s, shards_of, trains_on_shards, waited_s
from dit_grid.orchestrator.planning.gpu_memory import MOMENTS
from dit_grid.orchestrator.planning.peaks import peak_flops_per_s

DECODE_S = 0.253 / 8
"""Seconds of a TPU v3 core for one image of 256 pixels through the VAE's decoder: 253 ms for a batch of 8 by the TPU
compiler's cycles."""
INCEPTION_S = 0.0692 / 32
"""The same of one image of 256 pixels through Inception in full precision, of a batch of 32."""
V3_CORE_FLOPS_PER_S = DEVICE_PEAKS["TPU v3"].flops_per_s / CORES_PER_CHIP["v3"]
CPU_DECODE_S = 1 / 0.23
CPU_INCEPTION_S = 1 / 8.2
"""Seconds of one CPU core an image (docs/performance.md, VAE decode at 256 pixels and Inception-v3)."""
MOMENTS_S, FRECHET_S, NEIGHBOURS_S = 4.38 / 50_000, 1.1, 10.3 / 10_000
"""Seconds of a host an image for moments, once for the distance, and an image for precision and recall (the same)."""
LATENT_SIDE = 32
"""Of an image of 256 pixels."""
LATENT_CHANNELS = 4
FEED_LATENTS_PER_S = 23_000.0
"""Latents of 32 x 32 x 4 a second that one idle core gives of shards that it has read before, drawn and scaled: the
least of 23,000 to 26,000 (benchmarks/feed.py; docs/performance.md, Data feed). Eight threads read, so a host of many
cores gives more."""
FEED, FIRST_READING = "waiting for data", "first reading of shards"
SAID_AT_NOTHING = (FEED, FIRST_READING)
"""Terms that say what data a run wants, also where it waits for none or that is not known."""
NEAR = {
    "checkpoint_mb_per_s": "330 measured to a disk: docs/performance.md, Store",
    "read_mb_per_s": "a core checks 1,200 to 2,000 from memory: docs/performance.md, Data feed",
}
"""What was measured of the kind, elsewhere than on the hosts that the assumption is about."""
KEPT_ARRAYS = 2
"""Of the parameters' size in a checkpoint, float32, beside the optimizer's moments: themselves and their average."""


@dataclass(frozen=True)
class Term:
    """A part of a run's time: hours that it holds its resources for, what they cost, and where the figure is from.

    `billed` is False for what is only waited for, `known` for what would have to be stated first.
    """

    name: str
    hours: float
    source: str
    billed: bool = True
    usd: float | None = None
    known: bool = True


def scoring_terms(run: AnyRun, on: ResourceSpec) -> list[Term]:
    """Return what decoding and scoring all samples of all evaluations of the run takes on those resources."""
    if not isinstance(run, RunSpec):
        return []
    return scoring(run, (one for step in evaluation_steps(run) for one in settings_due(run, step)), on)


def scoring(run: RunSpec, settings: Iterable[EvalSetting], on: ResourceSpec) -> list[Term]:
    """Return what decoding and scoring the samples of these settings takes; a term that is nothing is left out."""
    decoded = described = 0
    host_s = 0.0
    for setting in (one for one in settings if one.draws):
        decoded += setting.samples if setting.decoder else 0
        if setting.features == "inception":
            described += setting.samples
            compared = bool({"precision", "recall"} & set(setting.metrics))
            host_s += setting.samples * (MOMENTS_S + NEIGHBOURS_S * compared) + FRECHET_S
    area = (run.model.image_size / LATENT_SIDE) ** 2
    decode_s, features_s, source = _image_s(on)
    known = on.kind != "gpu"
    found = [
        Term("VAE decoding", decoded * decode_s * area / 3600, source, known=known or not decoded),
        Term("Inception features", described * features_s / 3600, source, known=known or not described),
        Term("statistics and scores", host_s / 3600, "measured on one core: docs/performance.md, Metrics and fits"),
    ]
    return [term for term in found if term.hours or not term.known]


def _image_s(on: ResourceSpec) -> tuple[float, float, str]:
    """Seconds of decoding and of describing one image of 256 pixels, and where they are from; 0 on GPUs."""
    if on.kind == "gpu":
        return 0.0, 0.0, "not known of GPUs"
    if not on.slice:
        return CPU_DECODE_S / on.count, CPU_INCEPTION_S / on.count, "measured here: docs/performance.md"
    peak = peak_flops_per_s(on)
    share = V3_CORE_FLOPS_PER_S / peak if peak else 0.0
    source = "the TPU compiler's cycles for v3"
    if not on.slice.startswith("v3-"):
        source += "; scaled by the chips' peaks (assumption)"
    return DECODE_S * share, INCEPTION_S * share, source


def beside_terms(run: AnyRun, price: PriceSpec, train_hours: float) -> list[Term]:
    """Return what goes beside updates and evaluations: data, start, compilation, checkpoints.

    Of runs on this machine's cores there are none: what they take is seen in seconds (`plan --calibrate`).
    """
    on = run.execution.resources
    return [] if on.kind == "cpu" else list(_beside(run, price, train_hours, slice_hosts(on.slice) if on.slice else 1))


def coming_up(on: ResourceSpec, price: PriceSpec, times: int = 1, of: str = "") -> list[Term]:
    """Return what so many starts of a run, or of jobs, take on those resources until their work begins.

    On this machine's cores they are seconds, which nobody bills.
    """
    if on.kind == "cpu" or not times:
        return []
    return [
        Term(f"start{of}", times * price.start_s / 3600, _stated(price, "start_s")),
        Term(f"compilation{of}", times * price.compile_s / 3600, _stated(price, "compile_s")),
    ]


def _beside(run: AnyRun, price: PriceSpec, train_hours: float, hosts: int) -> Iterator[Term]:
    if isinstance(run, RunSpec):
        wanted = run.train.batch * run.train.steps / (train_hours * 3600) / hosts
        rate, source = _feed(run, price)
        late = max(wanted / rate - 1, 0.0) * train_hours if rate else 0.0
        if trains_on_shards(run):
            yield _first_reading(run, price, wanted, hosts)
        said = (
            f"each of {counted(hosts, 'host')} reads {wanted:,.0f} a second{', is starved' if late else ''}; {source}"
        )
        yield Term(FEED, late, said, known=rate is not None)
    yield from coming_up(run.execution.resources, price)
    if (params := costs(run).params) is not None:
        bytes_each = 4 * (KEPT_ARRAYS + _moments(run))
        write_s = bytes_each * params / (price.checkpoint_mb_per_s * 1e6)
        pieces = -(-run.train.steps // run.execution.checkpoint_every)
        waited = -(-run.train.steps // run.evaluate.every) if run.execution.evaluate_on is None else 1
        late_s = max(write_s - train_hours * 3600 / pieces, 0.0) * pieces  # others are written while training goes on
        said = f"{bytes_each} bytes a parameter, waited for before evaluations; {_stated(price, 'checkpoint_mb_per_s')}"
        yield Term("writing checkpoints", (waited * write_s + late_s) / 3600, said)


def _first_reading(run: RunSpec, price: PriceSpec, wanted: float, hosts: int) -> Term:
    shards = shards_of(run, price)
    if shards is None:
        return Term(FIRST_READING, 0.0, "how many images are trained on is not known: plan.images", known=False)
    waited = waited_s(shards, price, wanted, run.train.batch * run.train.steps / hosts)
    what = f"reads and checks {shards.gigabytes:,.3g} GB, {shards.source}, at each start"
    return Term(
        FIRST_READING,
        waited / 3600,
        f"each of {counted(hosts, 'host')} {what}; {_stated(price, 'read_mb_per_s')}",
    )


def heldout_reading(run: RunSpec, price: PriceSpec, jobs: Iterable[Iterable[EvalSetting]]) -> list[Term]:
    """Return how long jobs that measure the loss on held-out latents read the shards of these, each anew."""
    on = run.execution.evaluate_on
    seconds = sum(heldout_s(run, price, settings) for settings in jobs) if on and on.kind != "cpu" else 0.0
    return [Term(f"{FIRST_READING} of evaluations", seconds / 3600, _stated(price, "read_mb_per_s"))] if seconds else []


def _moments(run: AnyRun) -> int:
    """Arrays that the optimizer keeps; of a trainer of one's own as many as Adam's, the most there are."""
    return MOMENTS[run.train.optimizer.name] if isinstance(run, RunSpec) else max(MOMENTS.values())


def waiting_term(price: PriceSpec, held_hours: float) -> list[Term]:
    """Return how long preempted capacity is waited for; nothing where no preemptions are expected."""
    hours = price.preemptions_per_hour * held_hours * price.back_s / 3600
    return [Term("waiting for capacity", hours, _stated(price, "back_s"), billed=False)] if hours else []


def _feed(run: RunSpec, price: PriceSpec) -> tuple[float | None, str]:
    """What a host's feed gives a second at the least, and where that is from; None where nobody measured it."""
    if price.latents_per_s:
        return price.latents_per_s, f"spec: plan.latents_per_s {price.latents_per_s:,.0f}"
    if run.data.path is None or run.model.channels == RGB:
        return None, "what the feed gives is not known: plan.latents_per_s"
    rate = FEED_LATENTS_PER_S * (LATENT_SIDE / run.model.image_size) ** 2 * LATENT_CHANNELS / run.model.channels
    return rate, f"one core gives {rate:,.0f}, measured from a disk: docs/performance.md, Data feed"


def _stated(price: PriceSpec, key: str) -> str:
    value = getattr(price, key)
    if value != PriceSpec.model_fields[key].default:
        return f"spec: plan.{key} {value:g}"
    near = f"; {NEAR[key]}" if key in NEAR else ""
    return f"assumption: plan.{key} {value:g}{near}"
