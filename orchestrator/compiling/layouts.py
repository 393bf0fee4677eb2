"""How a run's state lies on its slice, in the words of a spec, and which layouts its batch allows there.

What a layout costs, the compiler says (`verdicts`); how arrays are split is `experiments.training.sharding`.
"""

from dit_grid.experiments.spec.execution import MeshSpec
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.orchestrator.compiling.generations import topology_of


def layout_of(run: RunSpec) -> str:
    """Return how the run's state lies on devices, and what it recomputes, as a spec writes it."""
    execution = run.execution
    mesh = execution.mesh
    layout: str = execution.layout
    if mesh is not None:
        layout = f"mesh {mesh.data or 'all'} x {mesh.fsdp}" + (f" x {mesh.tensor} tensor" if mesh.tensor else "")
    parts = [layout] + [f"remat {execution.remat}"] * (execution.remat != "none")
    return ", ".join(parts + [f"accumulate {run.train.accumulate}"] * (run.train.accumulate > 1))


def divides(run: RunSpec, slice_name: str) -> bool:
    """Return whether every device of the slice has as many images of a part of the run's batch."""
    return run.train.batch // run.train.accumulate % topology_of(slice_name).devices == 0


def narrow_meshes(run: RunSpec, slice_name: str) -> list[MeshSpec]:
    """Return the meshes in which neighbours on a host compute each image, so that a small batch divides.

    The fewest neighbours first, as many as divide the network's heads; the host's devices share a copy of the state.
    """
    topology, images = topology_of(slice_name), run.train.batch // run.train.accumulate
    host = topology.devices // topology.hosts
    return [
        MeshSpec(fsdp=host // together, tensor=together)
        for together in range(2, host + 1)
        if host % together == 0 and run.network.heads % together == 0 and images % (topology.devices // together) == 0
    ]
