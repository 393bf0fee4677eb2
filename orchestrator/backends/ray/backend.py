"""The keeper of the launch loop's contract on Ray: actions to gangs, and what gangs and hosts tell to events.

With no address it starts a Ray on this machine that ends with this process; at an address, gangs outlive it.
"""

import hashlib
import logging
import queue
import socket
import time
from collections.abc import Mapping, Sequence

import ray

from dit_grid.experiments.spec.any_run import AnyRun
from dit_grid.experiments.training.context import Progress
from dit_grid.orchestrator.backends.contract import now
from dit_grid.orchestrator.backends.ray.adoption import found
from dit_grid.orchestrator.backends.ray.gang import GangRun, gone_word
from dit_grid.orchestrator.backends.ray.hands import Hands
from dit_grid.orchestrator.backends.ray.held import Ground
from dit_grid.orchestrator.backends.ray.local import LocalRay
from dit_grid.orchestrator.backends.ray.shipping import runtime_env
from dit_grid.orchestrator.backends.ray.watch import ClusterWatch
from dit_grid.orchestrator.control.errors import ClusterLostError, RequestError
from dit_grid.orchestrator.core.events import (
    Action,
    CheckpointAndStop,
    ClusterSeen,
    Event,
    Gang,
    GangStarted,
    Start,
    StartFailed,
)

END_S = 30.0
"""How long `close` waits for processes that it killed."""

HEAD_LOOK_S = 5.0
HEAD_LOST_S = 30.0
"""A cluster whose head takes no connection for so long is lost to this driver; its gangs go on without it."""


class RayBackend:
    """Executes runs as gangs of Ray actors. Raises RequestError if there is no Ray at `address`."""

    def __init__(self, where: str, address: str | None = None, facts: Mapping[str, object] | None = None) -> None:
        prefix = f"dit-grid-{hashlib.sha256(where.encode()).hexdigest()[:12]}"
        local = LocalRay(prefix) if address is None else None
        self._connected = address is not None and _connect(address, prefix)
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        client = bool(address and address.startswith("ray://"))
        watch = ClusterWatch(self._changed, self._events.put, probing=local is None and not client)
        self._ground = Ground(where, prefix, watch, Hands(), self._events.put, local, facts or {})
        self._gangs: dict[Gang, GangRun] = {}
        self._specs: Mapping[str, AnyRun] = {}
        self._head = None if local or client else ray.get_runtime_context().gcs_address
        self._head_looked = self._head_heard = time.monotonic()

    def cluster(self) -> ClusterSeen:
        return self._ground.watch.seen

    def adopt(self, specs: Mapping[str, AnyRun]) -> Sequence[GangStarted]:
        self._specs = specs
        if self._ground.local is not None:
            return ()
        told = []
        for one in found(self._ground.prefix, specs):
            gang = GangRun(self._ground, one.gang, specs[one.gang.run_id], one.slice)
            self._gangs[one.gang] = gang.adopted(one.ranks, one.group)
            told.append(GangStarted(now(), one.gang, one.slice, adopted=True))
        return told

    def perform(self, action: Action) -> None:
        if isinstance(action, Start):
            self._start(action)
            return
        gang = self._gangs.get(action.gang)
        if gang is None or gang.gone.is_set():
            self._events.put(gone_word(self._ground, action.gang))
        elif isinstance(action, CheckpointAndStop):
            gang.ask_to_stop()
        else:
            gang.kill(action.stacks)

    def poll(self, timeout_s: float) -> Sequence[Event]:
        """Return what happened. Raises ClusterLostError once Ray itself is gone."""
        events: list[Event] = []
        try:
            events.append(self._events.get(timeout=timeout_s))
            while True:
                events.append(self._events.get_nowait())
        except queue.Empty:
            pass
        self._check_ray()
        return events

    def progress(self) -> Mapping[str, Progress]:
        return {gang.run_id: one.progress for gang, one in self._gangs.items() if one.progress}

    def detach(self) -> None:
        if self._ground.local is not None:
            self.close()
            return
        for gang in self._gangs.values():
            gang.detach()
        self._ground.watch.stop()
        if self._connected:
            ray.shutdown()

    def close(self) -> None:
        """End every gang; on this machine also Ray itself."""
        self._ground.watch.stop()
        if not self._ray_is_dead():
            for gang in self._gangs.values():
                gang.kill(stacks=False)
            deadline = time.monotonic() + END_S
            for gang in self._gangs.values():
                gang.gone.wait(max(deadline - time.monotonic(), 0))
        if self._ground.local is not None:
            self._ground.local.close()
        elif self._connected:
            ray.shutdown()

    def _start(self, action: Start) -> None:
        run = self._specs.get(action.gang.run_id)
        if run is None:
            self._events.put(StartFailed(now(), action.gang, "no such run in this launch", permanent=True))
            return
        self._gangs = {gang: one for gang, one in self._gangs.items() if gang.run_id != run.id}
        self._gangs[action.gang] = GangRun(self._ground, action.gang, run, action.slice).started()

    def _changed(self, seen: ClusterSeen) -> None:
        self._events.put(seen)

    def _check_ray(self) -> None:
        if self._ray_is_dead():
            what = self._ground.local.dead() if self._ground.local else "head"
            raise ClusterLostError(
                f"Ray's {what} is gone under this launch; what was committed is in {self._ground.where}, and the same "
                "command goes on from there"
            )

    def _ray_is_dead(self) -> bool:
        if self._ground.local is not None:
            return bool(self._ground.local.dead())
        moment = time.monotonic()
        if self._head is None or moment - self._head_looked < HEAD_LOOK_S:
            return moment - self._head_heard > HEAD_LOST_S
        self._head_looked = moment
        host, port = self._head.rsplit(":", 1)
        try:
            socket.create_connection((host, int(port)), timeout=1.0).close()
            self._head_heard = time.monotonic()
        except OSError:
            pass
        return moment - self._head_heard > HEAD_LOST_S


def _connect(address: str, namespace: str) -> bool:
    """Connect this process and ship its code to the workers; False inside the cluster, a controller, which has both."""
    if ray.is_initialized():
        return False
    try:
        ray.init(
            address=address,
            namespace=namespace,
            runtime_env=runtime_env(),
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:  # Ray raises whatever the layer below raised
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        if "Auth" in f"{error}{error.__cause__}":
            raise RequestError(
                f"--address {address}: the Ray cluster there asks for its token: set RAY_AUTH_MODE=token, and "
                "RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the one that it was started with (`ray get-auth-token` on "
                "its head prints it)"
            ) from error
        raise RequestError(
            f"--address {address}: no Ray cluster answers there ({cause}); start one: ray start --head"
        ) from error
    return True
