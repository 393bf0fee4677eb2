"""Rows of a training onto the disk: three numbers at each of a thousand steps, until all of them are safe there.

Every way opens what it writes into, logs step by step as a training loop would, and closes.
"""

import itertools
import tempfile
from collections.abc import Callable

from dit_grid.orchestrator.bench.contests import OURS

ROWS = 1000
VALUES = {"loss": 0.25, "grad_norm": 1.5, "learning_rate": 1e-4}


def ours(case: str, threads: int) -> Callable[[], None]:
    """A run's attempt in a store: immutable Parquet segments, synced."""
    from dit_grid.experiments.store import Store

    store, numbers = Store.create(f"{tempfile.mkdtemp()}/store"), itertools.count()

    def log() -> None:
        with store.writer(store.begin_attempt(f"run-{next(numbers)}", 0)) as writer:
            for step in range(1, ROWS + 1):
                writer.train({"step": step, **VALUES})

    return log


def tensorboard(case: str, threads: int) -> Callable[[], None]:
    """Event files by tensorboardX."""
    from tensorboardX import SummaryWriter

    def log() -> None:
        with SummaryWriter(tempfile.mkdtemp()) as writer:
            for step in range(1, ROWS + 1):
                for name, value in VALUES.items():
                    writer.add_scalar(name, value, step)

    return log


def mlflow(case: str, threads: int) -> Callable[[], None]:
    """An MLflow run in a local SQLite file."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{tempfile.mkdtemp()}/mlflow.db")

    def log() -> None:
        with mlflow.start_run():
            for step in range(1, ROWS + 1):
                mlflow.log_metrics(VALUES, step)

    return log


def wandb(case: str, threads: int) -> Callable[[], None]:
    """A W&B run that stays offline."""
    import wandb

    def log() -> None:
        with wandb.init(mode="offline", dir=tempfile.mkdtemp(), settings=wandb.Settings(silent=True)) as run:
            for step in range(1, ROWS + 1):
                run.log(VALUES, step=step)

    return log


WAYS = {OURS: ours, "TensorBoard": tensorboard, "MLflow": mlflow, "W&B": wandb}
