"""What one host of a gang compiled the others need not: JAX keeps programs in the store's folder, in a bucket too."""

import json
import os
import subprocess
import sys

import pytest

from dit_grid.experiments.spec.run import RunSpec
from dit_grid.orchestrator.backends.variables import environment
from dit_grid.orchestrator.backends.worker import compilation_cache, shared_programs

PROGRAM = """
import json
import dit_grid.experiments.store.bucket  # as a worker that opened its store; it tells gcsfs of the emulator
import jax
from jax import monitoring
found = []
monitoring.register_event_listener(lambda event, **_: found.append(event.rpartition("/")[2]))
jax.jit(lambda x: x * 2 + 1)(3.0)
print(json.dumps({name: found.count(name) for name in ("cache_hits", "cache_misses")}))
"""


def run_on(**resources):
    return RunSpec.model_validate({
        "model": {"size": "T", "patch": 8, "image_size": 8, "width": 8, "depth": 1, "heads": 1},
        "data": {"name": "digits"},
        "evaluate": {"every": 100}, "execution": {"resources": resources},
    })  # fmt: skip


def compiled_by_a_process(cache):
    variables = environment(run_on(slice="v3-32"), cache) | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=os.environ | variables, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_a_second_process_reads_from_the_bucket_what_the_first_compiled(bucket):
    cache = shared_programs(run_on(slice="v3-32"), "gs://bucket/results/grid")
    assert cache == "gs://bucket/results/grid/programs"
    first, _ = compiled_by_a_process(cache)
    assert first["cache_misses"] > 0
    second, said = compiled_by_a_process(cache)
    assert second == {"cache_hits": first["cache_misses"] + first["cache_hits"], "cache_misses": 0}
    assert "Error" not in said


@pytest.mark.parametrize("where", ["gs://bucket/grid", "/results/grid"])
def test_programs_for_cores_stay_on_their_host(where):
    assert shared_programs(run_on(cpus=2), where) == str(compilation_cache())
