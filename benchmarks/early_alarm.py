"""How often the early alarm is false, and what it hears: simulated grids, and real digits runs, healthy and not.

    python benchmarks/early_alarm.py                    simulated grids: the rate of false alarms by number of peers
    python benchmarks/early_alarm.py --stores A B C     also that of finished healthy grids, a store a seed
    python benchmarks/early_alarm.py --train FOLDER     also trains three healthy grids of eight digits models, and four
                                                        faults (about ten minutes on two idle cores); asks of each
    python benchmarks/early_alarm.py --train FOLDER --npz FILE     writes the losses, a row a run, by its size

Faults are of L/4 at seed 0: a learning rate 30 times as high, and noise in place of a third or a tenth of the images
from half of training on; and a switch to the losses of seed 1 there. The rate of false alarms of healthy grids is over
random choices of three, four, five and seven peers; and of all.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dit_grid.analysis.curves import departures
from dit_grid.analysis.curves.collapse import BINS, binned, departure

STEPS, EVERY = 1300, 26
AT = np.arange(EVERY, STEPS + 1, EVERY, dtype=float)

SPEC = """
name: alarm
store: {store}
grid: {{model.size: [{sizes}], model.patch: [{patches}]}}
sizes:
  S:  {{width: 40, depth: 3, heads: 4}}
  B:  {{width: 48, depth: 4, heads: 4}}
  L:  {{width: 56, depth: 4, heads: 4}}
  XL: {{width: 80, depth: 5, heads: 5}}
model: {{image_size: 8, channels: 1, classes: 10, block: adaln-zero}}
data: {{name: digits}}
train:
  {{steps: 1300, batch: 128, optimizer: {{learning_rate: {rate}}}, ema: {{decay: 0.999, warmup: true}}, log_every: 26}}
evaluate: {{every: 1300, settings: [{{metrics: [heldout_loss], samples: 297}}]}}
execution: {{resources: {{cpus: 1}}, checkpoint_every: 650, steps_per_call: 26}}
seed: {seed}
"""

Curves = dict[str, np.ndarray]


def main() -> None:
    """Print rates and findings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grids", type=int, default=200, help="simulated grids of each size")
    parser.add_argument("--stores", type=Path, nargs="+", default=[], metavar="STORE")
    parser.add_argument("--train", type=Path, metavar="FOLDER")
    parser.add_argument("--npz", type=Path, metavar="FILE")
    asked = parser.parse_args()
    for models in (4, 6, 12):
        print(
            f"simulated, {models - 1} peers: {simulated(models, asked.grids):.2%} of healthy runs flagged", flush=True
        )
    if asked.stores:
        told("stores", [recorded(store) for store in asked.stores])
    if not asked.train:
        return
    healthy = [trained(asked.train / f"seed{seed}", seed=seed) for seed in range(3)]
    told("digits", [{model: binned(AT, y, STEPS, BINS) for model, y in curves.items()} for curves in healthy])
    faults = {"rate x30": trained(asked.train / "rate", rate="3e-2", sizes="L", patches="4")}
    for share in (0.33, 0.1):
        name = f"{share:.0%} of the images noise"
        faults[name] = trained(asked.train / name.replace(" ", "-"), sizes="L", patches="4", noise=share)
    faults["another seed"] = {"L/4": np.where(AT > STEPS // 2, healthy[1]["L/4"], healthy[0]["L/4"])}
    for name, curves in faults.items():
        looked = departures(*as_records(healthy[0] | curves))
        print(f"{name}: {'; '.join(map(str, looked.left)) or 'not found'}", flush=True)
    if asked.npz:
        parts = {f"seed{seed}": curves for seed, curves in enumerate(healthy)} | faults
        size = {model: 2**k for k, model in enumerate(healthy[0])}
        rows = {f"{of}|{m}|{size[m]}": y for of, curves in parts.items() for m, y in curves.items()}
        np.savez_compressed(asked.npz, **rows)


def simulated(models: int, grids: int) -> float:
    """The share of healthy runs flagged, of grids whose runs differ a little in floor, fall and pace."""
    rng, flagged = np.random.default_rng(models), 0
    for _ in range(grids):
        luck, curves = rng.normal(0, 0.03, len(AT)), {}
        for size in range(models):
            floor, fall, pace = 0.1 + 0.02 * rng.uniform(), rng.uniform(0.45, 0.55), rng.uniform(0.53, 0.57)
            own = luck * rng.uniform(0.8, 1) + rng.normal(0, 0.01, len(AT))
            curves[f"{size}"] = (floor + fall * (AT / EVERY + 3) ** -pace) * np.exp(own)
        flagged += len(departures(*as_records(curves)).left)
    return flagged / (grids * models)


def told(name: str, grids: list[Curves]) -> None:
    """Print how many of the runs of healthy grids, binned, are flagged beside so many peers."""
    models = min(map(len, grids))
    for peers in sorted({3, 4, 5, 7, models - 1}):
        if peers < models:
            rate, ever = drawn(grids, peers)
            count = sum(map(len, grids))
            print(f"{name}, {peers} peers: {rate:.2%} of healthy runs flagged, {ever} of {count} ever", flush=True)


def drawn(grids: list[Curves], peers: int) -> tuple[float, int]:
    """The share of healthy real runs flagged beside random peers of their own seed, and how many ever are."""
    rng, shares = np.random.default_rng(0), []
    for parts in grids:
        for model, own in parts.items():
            others = [name for name in parts if name != model]
            choices = [rng.choice(others, peers, replace=False) for _ in range(60 if peers < len(others) else 1)]
            rows = [np.array([parts[name] for name in names]) for names in choices]
            shares.append(np.mean([departure(own, each) is not None for each in rows]))
    return float(np.mean(shares)), int(np.count_nonzero(shares))


def recorded(where: Path) -> Curves:
    """Binned losses of a store's runs, which are of one recipe and seed."""
    from dit_grid.experiments.store import Store
    from dit_grid.orchestrator.advice.alarm import losses_of

    store = Store.open(where)
    losses = losses_of(store.train(columns=["run_id", "step", "loss"]))
    runs = store.runs(columns=["run_id", "steps"]).to_pylist()
    return {run["run_id"]: binned(*losses[run["run_id"]], run["steps"], BINS) for run in runs}


def as_records(curves: Curves) -> tuple[list[Mapping[str, Any]], dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Runs and losses as `departures` takes them, sizes in the order given."""
    runs = [
        {"run_id": name, "spec": "{}", "seed": 0, "steps": STEPS, "params": 2.0**k} for k, name in enumerate(curves)
    ]
    return runs, {name: (AT, y) for name, y in curves.items()}


def trained(
    store: Path, seed: int = 0, rate: str = "1e-3", sizes: str = "S, B, L, XL", patches: str = "8, 4", noise: float = 0
) -> Curves:
    """Losses of each model, trained in this process unless the store has them; `noise` takes a share of the images."""
    from dit_grid.experiments.running import training_run
    from dit_grid.experiments.spec import load_spec
    from dit_grid.experiments.store import Store
    from dit_grid.orchestrator.advice.alarm import losses_of
    from dit_grid.orchestrator.backends.contract import InProcess
    from dit_grid.orchestrator.driving.loop import drive
    from dit_grid.orchestrator.planning.work import record_runs, unfinished

    store.parent.mkdir(parents=True, exist_ok=True)
    file = store.with_suffix(".yaml")
    file.write_text(SPEC.format(store=store.absolute(), seed=seed, rate=rate, sizes=sizes, patches=patches))
    spec, whole = load_spec(file), training_run.dataset_of
    place = Store.create(spec.store)
    record_runs(spec, place)
    training_run.dataset_of = lambda run: Spoiled(whole(run), noise)  # type: ignore[assignment,return-value]
    drive(unfinished(spec), place, InProcess(place))
    training_run.dataset_of = whole
    losses = losses_of(place)
    return {run.model.name: losses[run.id][1] for run in spec.networks}


class Spoiled:
    """A dataset that gives noise in place of a share of each batch, from half of training on."""

    def __init__(self, whole: Any, share: float) -> None:
        self._whole, self._share = whole, share

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def batch(self, seed: int, step: int, size: int) -> Any:
        """The batch of a step, spoiled from half of training on."""
        batch = self._whole.batch(seed, step, size)
        if step < STEPS // 2:
            return batch
        images, count = batch.images.copy(), int(size * self._share)
        images[:count] = np.random.default_rng(step).uniform(-1, 1, images[:count].shape)
        return batch._replace(images=images.astype(np.float32))


if __name__ == "__main__":
    main()
