"""A gang's processes brought up: on this machine, or one on every host of a reservation, until each said who it is."""

import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError

from dit_grid.experiments.spec.any_run import AnyRun
from dit_grid.orchestrator.backends.ray.held import LOOK_S, Ground, Held, Rank
from dit_grid.orchestrator.backends.ray.local import Host, LocalRay
from dit_grid.orchestrator.backends.ray.placement import (
    CannotStartError,
    rank_options,
    reserve,
    shape_on_pool,
    shape_on_slice,
)
from dit_grid.orchestrator.backends.variables import environment
from dit_grid.orchestrator.backends.worker import Place, Worker, compilation_cache, shared_programs
from dit_grid.orchestrator.core.events import Gang

START_S = 300.0
"""How long the processes of a gang may take to come up; a host that pulls an image needs minutes."""


def reservation(ground: Ground, gang: Gang) -> str:
    """Return what the gang's placement group is called."""
    return f"{ground.prefix}/{gang.run_id}/{gang.start}"


def bring_up(
    held: Held, ground: Ground, gang: Gang, run: AnyRun, slice_name: str | None, killed: Callable[[], bool]
) -> None:
    """Start the gang's processes and tell them to begin; whatever was taken stands in `held`, also when this fails.

    Raises CannotStartError, also as soon as the gang is `killed`, and Ray's own errors.
    """
    if ground.local is not None and slice_name is None and run.execution.resources.kind == "cpu":
        _here(held, ground, ground.local, run)
    else:
        _on_the_cluster(held, ground, gang, run, slice_name, killed)
    _meet(held, ground, killed)
    spec, world, first = run.model_dump_json(), len(held.ranks), held.facts()[0]
    places = [Place(rank, world, f"{first.address}:{first.port}") for rank in range(world)]
    ray.get([rank.actor.begin.remote(spec, place) for rank, place in zip(held.ranks, places, strict=True)])


def _here(held: Held, ground: Ground, local: LocalRay, run: AnyRun) -> None:
    """Take an idle process of this machine, or start one on cores of its own."""
    count = run.execution.resources.count
    variables = environment(run, str(compilation_cache()))
    held.host, cores = local.take(count, variables)
    if held.host is None:
        options = {"num_cpus": count, "max_concurrency": 4, "runtime_env": {"env_vars": variables}}
        actor = ray.remote(Worker).options(**options).remote(ground.where, cores)
        held.host = Host(actor, cores, variables)
    held.ranks = [Rank(held.host.actor)]


def _on_the_cluster(
    held: Held, ground: Ground, gang: Gang, run: AnyRun, slice_name: str | None, killed: Callable[[], bool]
) -> None:
    """Reserve the hosts and start a fresh process on each, detached, so that they outlive this driver."""
    nodes = ground.watch.living()
    shape = shape_on_slice(slice_name, nodes) if slice_name else shape_on_pool(run.execution.resources, nodes)
    held.group = reserve(shape, reservation(ground, gang), killed)
    world, on = len(shape.bundles), slice_name or "-"
    for rank in range(world):
        options = rank_options(shape, held.group, rank) | {
            "name": f"{gang.run_id}/{gang.start}/{rank}/{world}/{on}",
            "lifetime": None if ground.local else "detached",
            "max_concurrency": 4,
            "runtime_env": {"env_vars": environment(run, _programs(ground, run))},
        }
        worker: Any = ray.remote(Worker).options(**options)
        held.ranks.append(Rank(worker.remote(ground.where, (), dict(ground.facts), ground.local is None)))


def _programs(ground: Ground, run: AnyRun) -> str:
    """Where a gang keeps compiled programs: on this machine alone, all stores have one folder."""
    return str(compilation_cache()) if ground.local else shared_programs(run, ground.where)


def _meet(held: Held, ground: Ground, killed: Callable[[], bool]) -> None:
    """Wait until every process said who it is."""
    asked = {rank.actor.facts.remote(): rank for rank in held.ranks}
    deadline = time.monotonic() + START_S
    while asked:
        for reference in ray.wait(list(asked), num_returns=len(asked), timeout=LOOK_S)[0]:
            try:
                asked.pop(reference).facts = ray.get(reference)
            except RayError as error:
                raise CannotStartError(f"a process died while it came up: {first_line(error)}") from error
        if killed() or time.monotonic() > deadline:
            raise CannotStartError(f"{len(asked)} of {len(held.ranks)} processes did not come up in time")
        if ground.watch.gone([facts.node for facts in held.facts()]):
            raise CannotStartError("a host went away while its gang came up")
    for facts in held.facts():
        ground.hands.ready(facts.node, facts.address)


def first_line(error: BaseException) -> str:
    """Return the line of Ray's long message that says most."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("The actor is dead", "The actor is unavailable"))]
    return (telling or lines or [type(error).__name__])[0][:300]
