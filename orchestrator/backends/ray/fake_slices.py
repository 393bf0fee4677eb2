"""A Ray cluster of pretend TPU hosts on this machine, for tests, benchmarks and for trying a grid without a TPU.

Each host is a real Ray node with the resources and labels that a real one registers, so placement, gangs, drains and
deaths are real; only the chips are not, and JAX runs on the CPU.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dit_grid.orchestrator.backends.ray.nodes import POD_TYPE, SLICE_NAME, TOPOLOGY, WORKER_ID, chips_of
from dit_grid.orchestrator.backends.ray.services import without_unasked

CHIPS_A_HOST = 4
TOPOLOGIES = {"v3-8": "2x2", "v3-32": "4x4", "v3-64": "4x8", "v4-16": "2x2x2"}
STORE_BYTES = 80 * 2**20
BOOT_S = 300.0
"""Ray gives a raylet 30 s to come up, written into its code, which a busy machine misses."""

ONE_THREAD = {"JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


@dataclass
class FakeCluster:
    """The cluster: its address, and of each slice, by name, its type and its hosts by worker id."""

    cluster: Any
    kinds: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, dict[int, Any]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """Return what `--address` takes."""
        return str(self.cluster.address)

    def add(self, name: str, kind: str, missing: tuple[int, ...] = ()) -> None:
        """Add a slice of a type such as v3-32, without the hosts in `missing`; it is there once all its nodes are."""
        count = max(chips_of(kind) // CHIPS_A_HOST, 1)
        workers = [worker for worker in range(count) if worker not in missing]
        self.kinds[name] = kind
        self.hosts[name] = {worker: self._host(name, kind, worker) for worker in workers}

    def wait(self) -> None:
        """Return once every host that was added and not killed has joined."""
        self.cluster.wait_for_nodes(timeout=BOOT_S)

    def kill_host(self, name: str, worker: int) -> None:
        """End a host as a preemption does: without a word."""
        self.cluster.remove_node(self.hosts[name].pop(worker), allow_graceful=False)

    def replace_host(self, name: str, worker: int) -> None:
        """Put a fresh host in the place of one, as Google does with a preempted one of a slice."""
        if worker in self.hosts[name]:
            self.kill_host(name, worker)
        self.hosts[name][worker] = self._host(name, self.kinds[name], worker)

    def remove(self, name: str) -> None:
        """End all hosts of a slice, as when it is given back."""
        for worker in list(self.hosts[name]):
            self.kill_host(name, worker)
        del self.hosts[name], self.kinds[name]

    def _host(self, name: str, kind: str, worker: int) -> Any:
        resources = {"TPU": CHIPS_A_HOST, name: 1, f"accelerator_type:TPU-{kind.split('-')[0].upper()}": 1}
        if worker == 0:
            resources[f"TPU-{kind}-head"] = 1
        topology = TOPOLOGIES.get(kind, "")
        variables = {
            "TPU_NAME": name, "TPU_WORKER_ID": str(worker), "TPU_ACCELERATOR_TYPE": kind, "TPU_TOPOLOGY": topology,
        }  # fmt: skip
        labels = {SLICE_NAME: name, WORKER_ID: str(worker), POD_TYPE: kind, TOPOLOGY: topology}
        with _patience(), without_unasked():
            return self.cluster.add_node(
                wait=False,
                num_cpus=1,
                resources=resources,
                object_store_memory=STORE_BYTES,
                env_vars={**ONE_THREAD, **variables},
                labels={key: value for key, value in labels.items() if value},
            )


@contextmanager
def fake_cluster(slices: Mapping[str, str], cpus: int = 2) -> Iterator[FakeCluster]:
    """Run a cluster with a head of so many CPU cores and the slices, name -> type; everything ends with the block.

    Give Ray a folder of its own with RAY_TMPDIR where another Ray runs on the machine.
    """
    from ray.cluster_utils import Cluster

    head = {"num_cpus": cpus, "include_dashboard": False, "object_store_memory": STORE_BYTES}
    with _patience(), without_unasked():
        cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        made = FakeCluster(cluster)
        for name, kind in slices.items():
            made.add(name, kind)
        made.wait()
        yield made
    finally:
        cluster.shutdown()


@contextmanager
def _patience() -> Iterator[None]:
    """Let a node take BOOT_S to come up: the question whether it is there is answered later, not more often."""
    from ray._private import services

    asked = services.get_node

    def asked_for_longer(*arguments: Any) -> Any:
        deadline = time.monotonic() + BOOT_S
        while True:
            try:
                return asked(*arguments)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    services.get_node = asked_for_longer
    try:
        yield
    finally:
        services.get_node = asked
