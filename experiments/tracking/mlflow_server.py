"""Runs of MLflow that a tracking server holds, asked of it by MLflow's own client, which has its credentials from the
environment. What lies here in files is read by `mlflow_folders`, without MLflow.
"""

from collections.abc import Callable, Iterator
from typing import Any

from dit_grid.experiments.spec.track import TrackSpec, holds_secret
from dit_grid.experiments.tracking.destinations import missing_packages
from dit_grid.experiments.tracking.foreign_run import ForeignRun, NotATrackerError
from dit_grid.experiments.tracking.mlflow_client import OUTCOMES, as_logged, mlflow_client
from dit_grid.experiments.tracking.tracker import in_one_line, without_secrets


def is_server(address: str) -> bool:
    """Whether it is the address of a server and not a path."""
    return address.startswith(("http://", "https://"))


def read_mlflow_server(uri: str) -> list[ForeignRun]:
    """The runs of all experiments on the server, deleted ones left out. Raises NotATrackerError, in one line."""
    if holds_secret(uri):
        raise NotATrackerError(f"{without_secrets(uri)}: {holds_secret(uri)}")
    if missing := missing_packages([TrackSpec(to="mlflow", uri=uri)]):
        raise NotATrackerError(missing)
    client = mlflow_client(uri)
    try:
        experiments = [one.experiment_id for one in _pages(client.search_experiments)]
        runs = _pages(lambda **page: client.search_runs(experiments, **page)) if experiments else ()
        return [_run(client, run, uri) for run in runs]
    except Exception as error:  # MLflow's own, of many classes, and those of what it is built on
        raise NotATrackerError(f"{uri}: {in_one_line(error)}; it must be a tracking server of MLflow's") from None


def _pages(search: Callable[..., Any]) -> Iterator[Any]:
    token = None
    while True:
        page = search(page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _run(client: Any, found: Any, uri: str) -> ForeignRun:
    key = found.info.run_id
    outcome = OUTCOMES.get(found.info.status, "interrupted")
    run = ForeignRun(uri, key, found.info.run_name or key, dict(found.data.params), outcome)
    for name in found.data.metrics:
        for point in client.get_metric_history(key, name):
            run.add(point.step, name, as_logged(point.value), point.timestamp / 1000)
    return run
