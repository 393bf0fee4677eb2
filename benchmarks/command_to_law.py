"""From the command to the law, an update: this build beside an older one, on one spec, in turn.

    git clone . ../older && (cd ../older && git checkout COMMIT && uv sync)
    uv run python benchmarks/command_to_law.py ../older               five minutes on two idle cores
    uv run python benchmarks/command_to_law.py ../older --share 0.02  to see that it works

Both builds launch the digits grid of the older recipe (`OLDER_RECIPE`: epsilon-prediction, batch 128, 1,300 updates),
cut to a share of its updates and of its samples, so that measuring keeps its part of the time; each launch from a
fresh store and an empty cache of compiled programs, with the packages of its own checkout. Starting and compiling are
not cut: they weigh more here than in the whole recipe. Python's bytecode is kept, in a folder of its own for each
build, also where surroundings forbid it, and made by a launch of one model that is not counted: making it takes every
process seconds. Prints a row a launch, and the older one's seconds over this one's.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import yaml
from digits_grid import first_step_unix_s

from dit_grid.analysis import load

HERE = Path(__file__).parents[1]

OLDER_RECIPE: dict[str, Any] = {
    "name": "digits",
    "grid": {"model.size": ["XL", "L", "B", "S"], "model.patch": [2, 4, 8]},
    "sizes": {
        "S": {"width": 40, "depth": 3, "heads": 4}, "B": {"width": 48, "depth": 4, "heads": 4},
        "L": {"width": 56, "depth": 4, "heads": 4}, "XL": {"width": 80, "depth": 5, "heads": 5},
    },
    "model": {"image_size": 8, "channels": 1, "classes": 10, "block": "adaln-zero"},
    "data": {"name": "digits"},
    "train": {
        "steps": 1300, "batch": 128, "optimizer": {"name": "adamw", "learning_rate": 1e-3},
        "ema": {"decay": 0.999, "warmup": True}, "log_every": 50,
    },
    "evaluate": {
        "every": 650,
        "settings": [
            {"metrics": ["fd_conv", "accuracy"], "samples": 1000, "sampler": "dpmpp-2m", "steps": 20, "clip": True,
             "weights": "ema"},
            {"metrics": ["heldout_loss"], "samples": 297, "weights": "ema"},
        ],
    },
    "execution": {"resources": {"cpus": 1}, "checkpoint_every": 650, "steps_per_call": 50, "flush_s": 5},
    "seed": 0,
}  # fmt: skip
"""experiments/digits.yaml until November 2026: what issue reports of 272 to 301 s are about."""


class Launch(NamedTuple):
    """What one launch took: to its end, to the first update of any model, and an update once a model trains."""

    seconds: float
    first_s: float
    update_s: float


def main() -> None:
    """Launch under both builds in turn and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("older", type=Path, help="a checkout of an older commit, after `uv sync` in it")
    parser.add_argument("--share", type=float, default=0.2, help="of the recipe's updates and samples (default 0.2)")
    parser.add_argument("--pairs", type=int, default=1, help="how often both are launched (default 1)")
    asked = parser.parse_args()
    here = Path(sys.executable).with_name("dit-grid")
    builds = {"older": asked.older.absolute() / ".venv/bin/dit-grid", "this": here}
    updates = 12 * steps_of(asked.share)
    print(
        f"{updates:,} updates in twelve models\nbuild  seconds  ms an update  first update, s  ms an update, training"
    )
    found: dict[str, list[Launch]] = {build: [] for build in builds}
    with tempfile.TemporaryDirectory() as bytecode:
        kept = {build: Path(bytecode, build) for build in builds}
        for build, program in builds.items():
            launch(program, one_model(), kept[build])
        for _ in range(asked.pairs):
            for build, program in builds.items():
                took = launch(program, spec_of(asked.share), kept[build])
                found[build].append(took)
                print(f"{build:5}  {took.seconds:7.1f}  {1e3 * took.seconds / updates:12.2f}  {took.first_s:15.1f}  "
                      f"{1e3 * took.update_s:22.2f}", flush=True)  # fmt: skip
    ratios = [median(ratio(found, field)) for field in Launch._fields]
    print("this build is {:.2f} × as fast from the command to the law, {:.2f} × to the first update, {:.2f} × an "
          "update that trains".format(*ratios))  # fmt: skip


def steps_of(share: float) -> int:
    """Return the updates of a run: a tenth of them is logged at a time, half of them end with an evaluation."""
    return max(10 * round(OLDER_RECIPE["train"]["steps"] * share / 10), 20)


def spec_of(share: float, store: Path | str = "store") -> dict[str, Any]:
    """Return the recipe, cut to a share of its updates and samples."""
    steps = steps_of(share)
    sampled, held = OLDER_RECIPE["evaluate"]["settings"]
    settings = [sampled | {"samples": max(round(sampled["samples"] * share), 40)}, held]
    train = OLDER_RECIPE["train"] | {"steps": steps, "log_every": steps // 10}
    execution = OLDER_RECIPE["execution"] | {"checkpoint_every": steps // 2, "steps_per_call": steps // 10}
    return OLDER_RECIPE | {
        "store": str(store), "train": train, "evaluate": {"every": steps // 2, "settings": settings},
        "execution": execution,
    }  # fmt: skip


def one_model() -> dict[str, Any]:
    """Return a recipe of the smallest model alone, by which a build's bytecode comes to be."""
    sizes = {"S": OLDER_RECIPE["sizes"]["S"]}
    return spec_of(0) | {"sizes": sizes, "grid": {"model.size": ["S"], "model.patch": [8]}}


def launch(program: Path, recipe: dict[str, Any], bytecode: Path) -> Launch:
    """Launch the recipe once with the build of this `dit-grid`, in a folder of its own that is gone afterwards."""
    with tempfile.TemporaryDirectory() as scratch:
        store, spec = Path(scratch, "store"), Path(scratch, "digits.yaml")
        spec.write_text(yaml.safe_dump(recipe | {"store": str(store)}))
        environment = os.environ | {"XDG_CACHE_HOME": str(Path(scratch, "cache"))}
        environment["PYTHONPYCACHEPREFIX"] = str(bytecode)
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment.pop("VIRTUAL_ENV", None)  # which `uv run` sets, and which is this build's
        began, started = time.time(), time.monotonic()
        command = [str(program), "launch", str(spec)]
        subprocess.run(command, check=True, env=environment, cwd=scratch, stdout=subprocess.DEVNULL)
        seconds, train = time.monotonic() - started, load(str(store)).train
        late = train[train["step"] > train["step"].min()]  # the first window holds the compilation
        return Launch(seconds, first_step_unix_s(train) - began, float((1 / late["steps_per_s"]).mean()))


def ratio(found: dict[str, list[Launch]], field: str) -> list[float]:
    """Return by how much the older build took longer in this, a pair each."""
    pairs = zip(found["older"], found["this"], strict=True)
    return [getattr(older, field) / getattr(this, field) for older, this in pairs]


if __name__ == "__main__":
    main()
