"""Which trackers of other people a grid's rows are mirrored to, and where they lie. No part of any run's id.

Secrets never stand here: keys and passwords come from the environment. Mirroring is `dit_grid.experiments.tracking`.
"""

from typing import Annotated, Any, Literal, get_args
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, field_validator, model_validator

from dit_grid.experiments.spec.record import Record

Name = Literal["wandb", "mlflow", "tensorboard"]
TRACKERS: tuple[str, ...] = get_args(Name)
SECRET_WORDS = ("password", "passwd", "pwd", "secret", "token", "key")
"""What the name of a URI's parameter holds that carries a secret."""


def holds_secret(uri: str) -> str:
    """What is wrong with a URI that has a user, password or key in it, and the way out; empty of any other."""
    asked = {name.lower() for name, _ in parse_qsl(urlsplit(uri).query, keep_blank_values=True)}
    if "@" in urlsplit(uri).netloc or any(word in name for name in asked for word in SECRET_WORDS):
        return ("holds a user or password; leave them out and set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN")  # fmt: skip
    return ""


class TrackSpec(Record):
    """A tracker that gets every row once: its name, or a mapping with `to` and where."""

    to: Name
    """Weights & Biases, MLflow or TensorBoard."""
    project: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """W&B's project or MLflow's experiment; the spec's name if left out."""
    folder: Annotated[str, Field(min_length=1)] | None = None
    """Where local files go; `tracking/` in the store if left out."""
    uri: Annotated[str, Field(min_length=1)] | None = None
    """MLflow's tracking URI, such as http://host:5000 or sqlite:///runs.db; MLFLOW_TRACKING_URI or a local file if left
    out."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"to": value} if isinstance(value, str) else value

    @field_validator("uri")
    @classmethod
    def _holds_no_secret(cls, uri: str | None) -> str | None:
        if uri is None:
            return uri
        if mistake := holds_secret(uri):
            raise ValueError(mistake)
        return uri

    @model_validator(mode="after")
    def _fits(self) -> "TrackSpec":
        if self.uri is not None and self.to != "mlflow":
            raise ValueError(f"uri is of mlflow, and this is {self.to}; remove it")
        if self.project is not None and self.to == "tensorboard":
            raise ValueError("tensorboard has no projects; remove `project`, or say `folder`")
        return self
