"""The coordinate check: how large a network's activations are over its first updates, and how far they move, by width.

Under the maximal update parametrization neither depends on width; under the standard one both grow with it, and so does
the best learning rate fall. Source: Yang et al. (2022), arXiv 2203.03466, appendix D.1.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dit_grid.experiments.data.conditions import conditions, dataset_of
from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.training.compiler_options import quick_compile
from dit_grid.experiments.training.update import Program

PROBE_STREAM = 2
"""Which branch of the run's key the probe's noise is drawn from; training uses others."""

PROBED = 64
"""Most images of the probe."""


@dataclass(frozen=True)
class Coordinate:
    """One layer's activations after `step` updates: root mean square, and that of their change since the first."""

    parametrization: str
    width: int
    layer: str
    step: int
    size: float
    change: float


@dataclass(frozen=True)
class Slope:
    """The exponent of width in a layer's size and change after the last update, a seed's mean; 0 is flat."""

    parametrization: str
    layer: str
    size: float
    change: float


def comparable(runs: Sequence[RunSpec]) -> tuple[list[RunSpec], list[str]]:
    """The largest set of runs that differ in width, one a width, and the models left out.

    They agree in depth, patch, block, data, objective and all of training but its parametrization. Raises DataError
    where no two widths are left.
    """
    groups: dict[str, dict[int, RunSpec]] = defaultdict(dict)
    for run in runs:
        train = run.train.model_copy(update={"parametrization": "standard", "base_width": 288})
        model = run.model.model_dump(exclude={"size", "width", "heads"})
        groups[repr((model, run.data, run.diffusion, train))].setdefault(run.model.width, run)
    best = max(groups.values(), key=len)
    if len(best) < 2:
        raise DataError(
            f"no two of the {len(runs)} runs differ in width alone, with depth, patch and training the same; "
            "experiments/width-transfer.yaml has such models"
        )
    left = sorted({run.model.name for run in runs} - {run.model.name for run in best.values()})
    return [best[width] for width in sorted(best)], left


def coordinates(
    runs: Sequence[RunSpec], parametrizations: Sequence[str], steps: int, seeds: int = 1,
    heard: Callable[[str], None] = lambda said: None,
) -> list[Coordinate]:  # fmt: skip
    """Every layer's coordinates after 0 … `steps` updates of each run under each parametrization, mean over seeds.

    Under mup the base is the run's own where its spec says mup, else the narrowest of the runs, where both agree.
    """
    found = []
    narrowest = min(run.model.width for run in runs)
    for parametrization in parametrizations:
        for run in runs:
            heard(f"{run.model.name}, {parametrization}")
            base = run.train.base_width if run.train.parametrization == "mup" else narrowest
            change = {"parametrization": parametrization, **({"base_width": base} if parametrization == "mup" else {})}
            train = type(run.train).model_validate(
                run.train.model_dump(exclude={"parametrization", "base_width"}) | change
            )
            each = [
                _measured(run.model_copy(update={"train": train, "seed": run.seed + s}), steps) for s in range(seeds)
            ]
            for place in zip(*each, strict=True):
                first = place[0]
                size, moved = (float(np.mean([getattr(c, name) for c in place])) for name in ("size", "change"))
                found.append(Coordinate(parametrization, run.model.width, first.layer, first.step, size, moved))
    return found


def slopes(found: Sequence[Coordinate]) -> list[Slope]:
    """The exponents of width of each layer after the last update, by parametrization."""
    last = max(c.step for c in found)
    layers: dict[tuple[str, str], list[Coordinate]] = defaultdict(list)
    for c in found:
        if c.step == last:
            layers[c.parametrization, c.layer].append(c)
    return [
        Slope(parametrization, layer, _exponent(at, "size"), _exponent(at, "change"))
        for (parametrization, layer), at in layers.items()
    ]


def _exponent(at: list[Coordinate], name: str) -> float:
    """The slope of the logarithm over that of width; NaN for one width, or where nothing moved."""
    values = np.array([getattr(c, name) for c in at])
    if len(at) < 2 or not (values > 0).all():
        return float("nan")
    return float(np.polyfit(np.log([c.width for c in at]), np.log(values), 1)[0])


def _place(layer: str) -> tuple[int, int]:
    """Where a layer stands in the network: jax.jit gives dictionaries back in the order of their names."""
    return {"patches": 0, "output": 2}.get(layer, 1), int(layer.split()[-1]) if layer.startswith("block") else 0


def _measured(run: RunSpec, steps: int) -> list[Coordinate]:
    dataset, program = dataset_of(run), Program(run)
    look = jax.jit(lambda params, probe: program.network(params).activations(*probe), compiler_options=quick_compile())
    probe, state, found = _probe(run, dataset, program), program.init(), []
    first: dict[str, Any] = {}
    for step in range(steps + 1):
        seen = look(program.whole(state).params, probe)
        now = {name: np.asarray(seen[name], np.float64) for name in sorted(seen, key=_place)}
        first = first or now
        for layer, array in now.items():
            size, change = (float(np.sqrt(np.mean(np.square(a)))) for a in (array, array - first[layer]))
            found.append(Coordinate(run.train.parametrization, run.model.width, layer, step, size, change))
        if step < steps:
            images, labels = dataset.batch(run.seed, step, run.train.batch)
            state, _ = program.advance(state, images[None], conditions(run, dataset, labels[None]))
    return found


def _probe(run: RunSpec, dataset: Any, program: Program) -> tuple[Any, ...]:
    """Noised images, times and conditions of the first batch: the same for every width."""
    images, labels = (array[:PROBED] for array in dataset.batch(run.seed, 0, run.train.batch))
    noise_key, t_key = jax.random.split(jax.random.fold_in(jax.random.key(run.seed), PROBE_STREAM))
    t = program.diffusion.draw_times(t_key, len(images))
    noise = jax.random.normal(noise_key, images.shape)
    x = program.diffusion.q_sample(jnp.asarray(images), t, noise)
    return x, program.diffusion.timesteps(t), conditions(run, dataset, labels)
