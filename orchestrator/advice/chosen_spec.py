"""Chosen runs as a spec that a launch takes, with their ids unchanged.

Which runs these are is `suggest`.
"""

from collections.abc import Sequence

import yaml

from dit_grid.experiments.spec import AnyRun, ExperimentSpec
from dit_grid.experiments.spec.any_run import tree


def spec_yaml(spec: ExperimentSpec, runs: Sequence[AnyRun], comment: str) -> str:
    """Return a spec of exactly these runs, ids unchanged, with the store of `spec`; what all share stands once."""
    trees = [tree(run) for run in runs]
    shared = {key: value for key, value in trees[0].items() if all(one.get(key) == value for one in trees)}
    models = [one.get("model", {}) for one in trees]
    network = {k: v for k, v in models[0].items() if k != "size" and all(model.get(k) == v for model in models)}
    for one in trees:
        for key in shared:
            one.pop(key)
    if any("model" in one for one in trees):
        for one in trees:
            one["model"] = {key: value for key, value in one["model"].items() if key not in network}
        shared["model"] = network
    head = {"name": spec.name, "store": spec.store, "plan": spec.plan.model_dump(mode="json", exclude_none=True)}
    if cluster := spec.cluster.model_dump(mode="json", exclude_defaults=True):
        head["cluster"] = cluster
    body = yaml.safe_dump(
        head | shared | {"runs": trees}, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110
    )
    return "".join(f"# {line}\n".replace("# \n", "#\n") for line in comment.splitlines()) + "\n" + body
