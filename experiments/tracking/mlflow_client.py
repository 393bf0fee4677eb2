"""MLflow's own client, made to answer soon and to be quiet: what the mirror and an import ask a server by."""

import logging
import os
from typing import Any

SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""By itself MLflow asks a server that is gone for minutes; here the mirror asks again, and others wait meanwhile. It
also prints two addresses a run."""

OUTCOMES = {"FINISHED": "done", "FAILED": "failed", "KILLED": "cancelled"}
"""Of MLflow's states; RUNNING and SCHEDULED say nothing of an end."""

LARGEST = 1.7976931348623157e308
"""What MLflow's databases keep of infinity."""


def mlflow_client(uri: str) -> Any:
    """A client of what is at the tracking URI; what the environment says of these settings goes before."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)  # a new database is made in dozens of lines
    return MlflowClient(tracking_uri=uri)


def as_logged(value: float) -> float:
    """The number that was logged, of one that MLflow's database kept."""
    return value if abs(value) < LARGEST else value * 2
