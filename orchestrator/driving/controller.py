"""A grid's driver on the cluster itself: a detached Ray actor, started again by Ray wherever it dies.

It owns nothing that cannot be lost: the store's lease says that it drives, the store and the gangs' names say how the
grid stands.
"""

import logging
import os
import threading
import time
from typing import Any

import ray

from dit_grid.experiments.spec import ExperimentSpec
from dit_grid.experiments.store import Store
from dit_grid.orchestrator.backends.ray import RayBackend
from dit_grid.orchestrator.control.lease import Held, Lease, Watcher
from dit_grid.orchestrator.driving.under_lease import absolute, drive_under

NAME = "controller"
"""How the actor's name begins, in the namespace of its store; the number of its first lease follows."""

WAIT_S = 1.0

log = logging.getLogger(__name__)


class Controller:
    """The actor. It drives from a thread, so that Ray can ask it whether it lives and start it again with its spec."""

    def __init__(self, spec: ExperimentSpec, facts: dict[str, object]) -> None:
        self._thread = threading.Thread(target=self._drive, args=(spec, facts), name="driver", daemon=True)
        self._thread.start()

    def pid(self) -> int:
        """Return the process it lives in."""
        return os.getpid()

    def _drive(self, spec: ExperimentSpec, facts: dict[str, object]) -> None:
        me = ray.get_runtime_context().current_actor
        try:
            control(spec, facts)
        except Exception:  # whoever watches has been told through the store; trying again would only repeat it
            log.exception("the controller of %s failed", spec.store)
        ray.kill(me, no_restart=True)


def control(spec: ExperimentSpec, facts: dict[str, object]) -> None:
    """Drive the grid to its end from inside the cluster, once the lease is free; return if another driver is alive."""
    store = Store.open(spec.store)
    watcher = Watcher(store, spec.cluster.lease_s)
    while (lease := _lease(watcher)) is not None:
        with lease:
            backend = RayBackend(absolute(spec.store), "auto", facts)
            try:
                if drive_under(lease, spec, store, backend, lambda grid: None) is not None:
                    backend.close()
                    return
            except Exception:
                backend.detach()
                raise


def _lease(watcher: Watcher) -> Lease | None:
    """Return the lease once its last holder is dead or silent; None as soon as one shows that it is alive."""
    first = None
    while (lease := watcher.take()) is None:
        held = watcher.look()
        if isinstance(held, Held):
            first = first or held
            if held.beat != first.beat or held.number != first.number:
                return None
        time.sleep(WAIT_S)
    return lease


def start_controller(
    spec: ExperimentSpec, facts: dict[str, object] | None = None, after: int = 0, **options: Any
) -> None:
    """Start the controller of the spec's store in the Ray that this process is connected to, unless it is there.

    `after` is the number of the last driver, which is dead or silent. A frozen one keeps its name, so the next has one
    of its own, the same for all who start it.
    """
    absolute_spec = spec.model_copy(update={"store": absolute(spec.store)})
    ray.remote(Controller).options(
        name=f"{NAME}-{after + 1}", get_if_exists=True, lifetime="detached", max_restarts=-1, num_cpus=0,
        max_concurrency=4, **options,
    ).remote(absolute_spec, facts or {})  # fmt: skip
