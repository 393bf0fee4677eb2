"""Slices as the cluster shows them: what is whole, what is broken, and that a broken one is never called whole."""

import pytest
from hypothesis import given, strategies as st

from dit_grid.orchestrator.backends.ray.nodes import chips_of, living, pools_of, slices_of


def host(name, worker, kind="v3-32", chips=4, alive=True, node_id=None):
    labels = {"ray.io/tpu-slice-name": name, "ray.io/tpu-worker-id": str(worker), "ray.io/tpu-pod-type": kind}
    return {
        "NodeID": node_id or f"{name}-{worker}",
        "Alive": alive,
        "NodeManagerAddress": "10.0.0.1",
        "NodeManagerPort": 1,
        "Resources": {"TPU": chips, "CPU": 96},
        "Labels": labels,
    }


def plain(cpus, gpus=0):
    resources = {"CPU": cpus, **({"GPU": gpus} if gpus else {})}
    return {**host("x", 0), "NodeID": f"plain{cpus}", "Resources": resources, "Labels": {}}


@pytest.mark.parametrize(
    ("kind", "chips"), [("v3-8", 4), ("v3-32", 16), ("v3-2048", 1024), ("v4-16", 8), ("v5litepod-16", 16), ("v6e-8", 8)]
)
def test_a_slice_types_number_counts_cores_or_chips_as_its_generation_does(kind, chips):
    assert chips_of(kind) == chips


def test_hosts_stand_in_the_order_of_their_worker_ids_and_a_missing_one_leaves_a_gap():
    (seen,) = slices_of(living([host("a", 3), host("a", 0), host("a", 2)]))
    assert seen.hosts == ("a-0", None, "a-2", "a-3")
    assert not seen.intact


def test_one_draining_host_takes_the_whole_slice_along():
    nodes = living([host("a", worker) for worker in range(4)] + [host("b", 0, "v3-8")])
    first, second = slices_of(nodes, draining={"a-2"})
    assert first.draining
    assert not first.intact
    assert second.intact


def test_a_lost_host_counts_as_gone_before_ray_says_so():
    records = [host("a", worker) for worker in range(4)]
    assert slices_of(living(records))[0].intact
    assert not slices_of(living(records, lost={"a-1"}))[0].intact


def test_the_computers_of_slices_are_no_pool_for_other_runs():
    nodes = living([host("a", 0, "v3-8"), plain(8), plain(16, gpus=4)])
    assert pools_of(nodes) == {"cpu": 24, "gpu": 4}


@given(
    st.lists(st.tuples(st.integers(-1, 5), st.booleans(), st.sampled_from(["v3-32", "v3-64", "nonsense"])), max_size=10)
)
def test_only_four_different_living_workers_make_a_v3_32(members):
    records = [host("a", worker, kind, alive=alive, node_id=str(i)) for i, (worker, alive, kind) in enumerate(members)]
    alive = [(worker, kind) for worker, alive, kind in members if alive]
    whole = sorted(alive) == [(worker, "v3-32") for worker in range(4)]
    seen = slices_of(living(records))
    assert any(one.intact and one.type == "v3-32" for one in seen) == whole
