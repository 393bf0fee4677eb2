"""What a checkpoint says its network was trained to predict, by the arguments it keeps, and the objective that this is.

Training programs write their command line into their checkpoints. Names and shapes of DiT's and SiT's networks are
equal, so nothing else in a file tells them apart, and either sampled as the other gives no pictures. Where a file is
silent a request decides (`asked_objective`). Sampling is `sampling`.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from dit_grid.experiments.spec.objective import DiffusionSpec
from dit_grid.model.paths import PathName
from dit_grid.model.weights import WeightsError

NOISE = ("epsilon", "eps", "noise")
"""How programs call what DiT predicts."""

ON_PATH = {"velocity": "velocity", "score": "score", "noise": "epsilon"}
"""SiT's words for what a network on a path predicts, and ours. REPA's `v` is of a time that runs the other way."""

KEYS = ("prediction", "prediction_type", "path_type", "parameterization", "predict_xstart")
"""Arguments that say what is predicted: SiT's and its successors', diffusers', latent diffusion's, ADM's."""

WEIGHT, WEIGHTS = "loss_weight", ("velocity", "likelihood")
"""SiT's argument that says how the loss is weighed, and what it may be; kept beside a path alone."""

SCHEDULES = {"noise_schedule": ("linear",), "beta_schedule": ("linear",), "diffusion_steps": (1000,)}
"""Arguments that say how noise is added, with what DiT's schedule is called."""

ADD = "add --path linear --prediction velocity, which SiT's published weights are, or what it was trained on"

Objective = dict[str, str | bool | int | float]
"""The arguments of `KEYS`, `WEIGHT` and `SCHEDULES` that a file states; empty where it states none."""


def objective_of(arguments: Mapping[str, Any]) -> Objective:
    """What of a checkpoint's arguments says what the network predicts."""
    said = {
        name: arguments[name]
        for name in (*KEYS, *SCHEDULES)
        if isinstance(arguments.get(name), str | bool | int | float) and str(arguments[name]).isprintable()
    }
    weighed = "path_type" in said and said.get("prediction") != "velocity" and arguments.get(WEIGHT) in WEIGHTS
    return said | ({WEIGHT: arguments[WEIGHT]} if weighed else {})


def objective_beside(path: Path) -> Objective:
    """What the scheduler of a diffusers pipeline says, whose `transformer` folder holds the file; empty without one."""
    config = path.parent.parent / "scheduler" / "scheduler_config.json"
    if path.parent.name != "transformer" or not config.is_file():
        return {}
    try:
        held = json.loads(config.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(held, dict):
        return {}
    name = str(held.get("_class_name", ""))
    flow = {"prediction": "velocity"} if "Flow" in name else {}
    return objective_of({key: held.get(key) for key in ("prediction_type", "beta_schedule")} | flow)


def asked_objective(path: str | None = None, prediction: str | None = None) -> Objective:
    """What is asked for, in the words in which a file would say it; empty for nothing asked.

    Raises WeightsError where one of the two is missing.
    """
    if path is None and prediction is None:
        return {}
    if path is None or prediction is None:
        missing = "--path linear, gvp or vp" if path is None else "--prediction velocity, score or noise"
        raise WeightsError(f"of a network on a path both are to be said: add {missing}")
    return {"path_type": path, "prediction": prediction}


def decided(stated: Objective, asked: Objective, called: tuple[str, ...]) -> Objective:
    """What a file states, or where it is silent what was asked; `called` are names that file and network go by.

    Raises WeightsError where the file states something else than was asked, and where it is silent, nothing was asked
    and a name says SiT.
    """
    if stated and asked and (process_of(stated) is None or process_of(stated) != process_of(asked | _weight(stated))):
        raise WeightsError(
            f"was trained on {objective_words(stated)}, as it says itself, not on {objective_words(asked)}: leave "
            "--path and --prediction out"
        )
    sit = next((name for name in called if re.match("sit(?![a-z])", name.lower())), None)
    if not stated and not asked and sit:
        raise WeightsError(f"goes by the name {sit[:80]}, and does not say what it was trained on: {ADD}")
    return stated or asked


def process_of(objective: Mapping[str, Any], learn_sigma: bool = True) -> DiffusionSpec | None:
    """The objective as a spec has it: DiT's where nothing is said; None for one that is not sampled here."""
    variance = "learned-range" if learn_sigma else "fixed-small"
    if not other_than_noise(objective):
        return DiffusionSpec.model_validate({"variance": variance})
    path, prediction = str(objective.get("path_type")).lower(), ON_PATH.get(str(objective.get("prediction")).lower())
    told = {"path_type", "prediction", WEIGHT}
    others = other_than_noise({name: value for name, value in objective.items() if name not in told})
    if path not in get_args(PathName) or prediction is None or others:
        return None
    weight = {"weight": objective[WEIGHT]} if WEIGHT in objective and prediction != "velocity" else {}
    return DiffusionSpec.model_validate({"variance": variance, "path": path, "prediction": prediction} | weight)


def other_than_noise(objective: Mapping[str, Any]) -> list[str]:
    """What an objective says that is not DiT's, as `name value`; empty for DiT's and where nothing is said."""
    found = []
    for name, value in objective.items():
        text = str(value).lower()
        if name in SCHEDULES:
            fits = value in SCHEDULES[name]
        elif name == "predict_xstart":
            fits = value is False
        else:  # an interpolant's path makes even predicted noise another network's
            fits = name not in ("path_type", WEIGHT) and text in NOISE
        if not fits:
            found.append(f"{name} {str(value)[:40]}")
    return found


def objective_words(objective: Objective) -> str:
    """An objective in a few words: as a spec calls it, or as the file does where it is not known here."""
    process = process_of(objective)
    if process is None:
        return ", ".join(f"{name} {str(value)[:40]}" for name, value in objective.items())
    return process.words if process.path else "DiT's noise prediction"


def _weight(objective: Objective) -> Objective:
    return {WEIGHT: objective[WEIGHT]} if WEIGHT in objective else {}
