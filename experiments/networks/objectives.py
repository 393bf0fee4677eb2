"""What a checkpoint says its network was trained to predict, by the arguments it keeps, and whether that is noise.

Training programs write their command line into their checkpoints. Names and shapes of DiT's and SiT's networks are
equal, so nothing else in a file tells them apart. Sampling is `sampling`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NOISE = ("epsilon", "eps", "noise")
"""How programs call what DiT predicts."""

KEYS = ("prediction", "prediction_type", "path_type", "parameterization", "predict_xstart")
"""Arguments that say what is predicted: SiT's and its successors', diffusers', latent diffusion's, ADM's."""

SCHEDULES = {"noise_schedule": ("linear",), "beta_schedule": ("linear",), "diffusion_steps": (1000,)}
"""Arguments that say how noise is added, with what DiT's schedule is called."""

SCHEDULER_CLASSES = ("DDIMScheduler", "DDPMScheduler", "DPMSolverMultistepScheduler")
"""Of diffusers, those that sample a network which predicts noise, if their `prediction_type` says so."""

Objective = dict[str, str | bool | int | float]
"""The arguments of `KEYS` and `SCHEDULES` that a file states; empty where it states none."""


def objective_of(arguments: Mapping[str, Any]) -> Objective:
    """What of a checkpoint's arguments says what the network predicts."""
    return {
        name: arguments[name]
        for name in (*KEYS, *SCHEDULES)
        if isinstance(arguments.get(name), str | bool | int | float) and str(arguments[name]).isprintable()
    }


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


def other_than_noise(objective: Objective) -> list[str]:
    """What an objective says that is not DiT's, as `name value`; empty for DiT's and where nothing is said."""
    found = []
    for name, value in objective.items():
        text = str(value).lower()
        if name in SCHEDULES:
            fits = value in SCHEDULES[name]
        elif name == "predict_xstart":
            fits = value is False
        else:  # an interpolant's path makes even predicted noise another network's
            fits = name != "path_type" and text in NOISE
        if not fits:
            found.append(f"{name} {str(value)[:40]}")
    return found
