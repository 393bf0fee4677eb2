"""From what a spec says to trackers that can be mirrored to: where they lie, and what has to be installed for them."""

import hashlib
import os
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from dit_grid.experiments.spec.track import TrackSpec
from dit_grid.experiments.tracking.tracker import Tracker, TrackingError, without_secrets

PACKAGES = {"wandb": ("wandb",), "mlflow": ("mlflow",), "tensorboard": ("tensorboardX",)}
"""What each needs; a database of MLflow's here needs two more."""

DATABASE = ("sqlalchemy", "alembic")


def tracking_folder(store: str) -> Path:
    """Where local files go and how far each run is: in the store, or of a bucket's here."""
    if "://" in store:
        return Path("results", store.rstrip("/").rpartition("/")[2], "tracking").absolute()
    return Path(store, "tracking").absolute()


def missing_packages(asked: Iterable[TrackSpec]) -> str:
    """One line on what to install for the trackers; empty where everything is there."""
    lacking = {one.to: [name for name in _needed(one) if find_spec(name) is None] for one in asked}
    lines = [
        f"tracking to {to} needs {' and '.join(names)}: pip install 'dit-grid[{to}]'"
        for to, names in lacking.items()
        if names
    ]
    return "; ".join(lines)


def trackers_of(asked: Iterable[TrackSpec], name: str, base: Path) -> dict[str, Tracker]:
    """Label -> tracker; labels are the same for the same place, and tell places of one kind apart.

    `name` stands for a project that nobody named, `base` for a folder. Raises TrackingError where a package is missing.
    """
    asked = list(asked)
    if missing := missing_packages(asked):
        raise TrackingError(missing)
    return {label(one, name, base): _tracker(one, name, base) for one in asked}


def label(one: TrackSpec, name: str, base: Path) -> str:
    """The tracker's name and a hash of where. A new one for an old place costs a look at what the place holds."""
    where = f"{_where(one, base)} {one.project or name}"
    return f"{one.to}-{hashlib.sha256(where.encode()).hexdigest()[:6]}"


def address(one: TrackSpec, base: Path) -> str:
    """Where to look at it, for people: without the user and password that the environment's URI may hold."""
    return without_secrets(_where(one, base))


def _where(one: TrackSpec, base: Path) -> str:
    if one.to == "mlflow":
        return _uri(one, base)
    folder = Path(one.folder).absolute() if one.folder else base
    return str(folder / "wandb" if one.to == "wandb" else folder if one.folder else folder / one.to)


def _needed(one: TrackSpec) -> tuple[str, ...]:
    local = one.to == "mlflow" and _uri(one, Path()).startswith("sqlite:")
    return PACKAGES[one.to] + (DATABASE if local else ())


def _uri(one: TrackSpec, base: Path) -> str:
    if one.uri or (not one.folder and os.environ.get("MLFLOW_TRACKING_URI")):
        return one.uri or os.environ["MLFLOW_TRACKING_URI"]
    folder = Path(one.folder).absolute() if one.folder else base
    return f"sqlite:///{folder}/mlflow.db"


def _tracker(one: TrackSpec, name: str, base: Path) -> Tracker:
    where = _where(one, base)
    if one.to == "wandb":
        from dit_grid.experiments.tracking.wandb_tracker import WandbTracker

        return WandbTracker(Path(where).parent, one.project or name)  # W&B adds the last part itself
    if one.to == "mlflow":
        from dit_grid.experiments.tracking.mlflow_tracker import MlflowTracker

        if where.startswith("sqlite:///"):
            Path(where.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        try:
            return MlflowTracker(where, one.project or name)
        except Exception as error:  # MLflow's own, of many classes
            why = without_secrets(str(error).strip().partition(". ")[0].splitlines()[0])[:200]
            at = address(one, base)
            raise TrackingError(f"mlflow at {at}: {why}; name a database, sqlite:///FILE, or a server") from None
    from dit_grid.experiments.tracking.tensorboard_tracker import TensorboardTracker

    return TensorboardTracker(Path(where))
