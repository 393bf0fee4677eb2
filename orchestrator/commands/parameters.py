"""What `plan --parameters MODEL` prints: every parameter array of one model of a spec, with nothing allocated."""

import math
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from dit_grid.experiments.spec import ExperimentSpec


def print_parameters(spec: "ExperimentSpec", model: str, as_json: bool) -> None:
    """Print the arrays, as JSON a record each. Raises RequestError for a model that the spec does not have."""
    from clu.parameter_overview import get_parameter_overview
    from flax import traverse_util

    from dit_grid.orchestrator.screen.tables import print_json

    arrays = _arrays(spec, model)
    if not as_json:
        click.echo(get_parameter_overview(arrays, include_stats=False))
        return
    flat = traverse_util.flatten_dict(arrays, sep="/")
    print_json([{"name": name, "shape": list(array.shape), "dtype": str(array.dtype), "size": math.prod(array.shape)}
                for name, array in sorted(flat.items())])  # fmt: skip


def _arrays(spec: "ExperimentSpec", model: str) -> dict[str, Any]:
    from flax import nnx

    from dit_grid.model.abstract import abstract_dit
    from dit_grid.orchestrator.control.errors import RequestError

    networks = {run.model.name: run.network for run in spec.networks}
    if model not in networks:
        there = ", ".join(networks) or "trainers of its own alone, whose parameters only they know"
        raise RequestError(f"{spec.file} has no model {model!r}; it has {there}")
    _, shapes = abstract_dit(networks[model])
    return nnx.to_pure_dict(shapes)
