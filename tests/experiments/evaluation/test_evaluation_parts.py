"""Scores do not depend on how many processes and devices measured the samples, nor on how these came in chunks."""

import json
import os
import runpy
import socket
import subprocess
import sys

import numpy as np
import pytest

from dit_grid.experiments.metrics.image_scores import Collected, collect
from dit_grid.experiments.metrics.moments import Moments
from dit_grid.experiments.metrics.reference import write_reference
from dit_grid.experiments.networks.features import FeatureNetwork

FEATURES = """
import jax, jax.numpy as jnp, numpy as np
from dit_grid.experiments.networks.features import FeatureNetwork
from dit_grid.experiments.networks.local_devices import copied, spread

MIX = copied(np.random.default_rng(1).standard_normal((192, 16)).astype(np.float32))

@jax.jit
def pool(images, mix):
    return jax.nn.relu(images.reshape(len(images), -1) / 128.0 @ mix)

def make(path):
    def extract(images):
        found = pool(spread(images), MIX)
        return {"pool": found, "spatial": found[:, :5]}
    return FeatureNetwork("inception", "ab" * 32, "none", extract, classify=lambda rows: rows / 8)
"""

PROGRAM = """
import gc, json, sys
gc.disable()  # imports leave none, and a tenth of their time goes into looking for it

def measured(folder, chunk_lengths):
    import jax
    import numpy as np
    from dit_grid.experiments.evaluation.evaluation import own_part
    from dit_grid.experiments.training.process_group import by_all
    from dit_grid.experiments.evaluation.sample_scoring import ImageEvaluation
    from dit_grid.experiments.evaluation.partial_state import Measured, PartialEvaluation, StoppedError
    from dit_grid.experiments.training.sharding import device_mesh, own_rows
    from dit_grid.experiments.spec.measurement import EvalSetting
    from dit_grid.experiments.store import Store
    from dit_grid.experiments.store.partials import partials_of

    names = ["fid", "sfid", "is", "precision", "recall", "kid", "cmmd"]
    setting = EvalSetting(metrics=names, samples=90, features="parts:make", reference="ref")
    evaluation = ImageEvaluation((setting,), {"ref": folder + "/ref.npz"}, latents=False)
    samples = np.random.default_rng(3).uniform(-1, 1, (90, 8, 8, 3)).astype(np.float32)
    found = []
    for chunk in chunk_lengths:
        chunks = ((i, samples[i : i + chunk]) for i in range(0, 90, chunk))
        scored = evaluation.score(setting, own_part(chunks), evaluation.seen(setting, keep=4))
        found.append(list(scored.values.values()))
    samples[70] = np.nan
    try:
        chunks = ((i, samples[i : i + 30]) for i in range(0, 90, 30))
        evaluation.score(setting, own_part(chunks), evaluation.seen(setting))
    except Exception as error:
        found.append(f"{type(error).__name__}: {error}")
    store = Store.create(folder + f"/store{jax.process_count()}")
    samples[70] = 0

    def kept(stopped_by):
        # the scores of an evaluation whose state is kept after every chunk of ten, and how many were drawn for it
        asked, drawn = [], []

        def stop():
            asked.append(None)
            return jax.process_index() == stopped_by and len(asked) == 5

        partial = PartialEvaluation(Measured(store, "run", 1, 1), stop, every_s=0.0)
        partial.take_up({})
        seen = evaluation.seen(setting)

        def draw(start):
            for i in range(start, 90, 10):
                drawn.append(10)
                yield samples[i : i + 10]

        try:
            chunks = partial.drawn(draw, seen, seen.watch)
            return list(evaluation.score(setting, own_part(chunks), seen).values.values()), len(drawn)
        except StoppedError:
            return "stopped", len(drawn)

    found.append(kept(None))
    by_all(lambda: store.files.delete_folder("samples") if jax.process_index() == 0 else None)
    found.append(kept(jax.process_count() - 1))
    last = [p.name for p in partials_of(store.files, "run") if p.rank == 0 and p.chunks == 5]
    by_all(lambda: store.files.delete(last[0]) if jax.process_index() == 0 else None)
    found.append(kept(None))
    sheet = None if scored.sheet is None else scored.sheet.shape
    rows = own_rows(device_mesh(8), 8).indices(8)[:2]
    return json.dumps({"devices": jax.device_count(), "found": found, "sheet": sheet, "rows": rows})

if __name__ == "__main__":
    import jax
    jax.distributed.initialize(sys.argv[1], num_processes=2, process_id=int(sys.argv[2]))
    print(measured(sys.path[0], [30]), flush=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("parts")
    (root / "parts.py").write_text(FEATURES)
    (root / "program.py").write_text(PROGRAM)
    scope: dict = {}
    exec(FEATURES, scope)
    images = np.random.default_rng(2).integers(0, 256, (80, 8, 8, 3), dtype=np.uint8)
    real = collect(scope["make"](None), [images], batch=16)
    write_reference(root / "ref.npz", real.gaussian("pool"), real.gaussian("spatial"), real.provenance, real.rows)
    return root


def start(folder, address, rank):
    """One of two processes of two devices each."""
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2"
    command = [sys.executable, str(folder / "program.py"), address, str(rank)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"XLA_FLAGS": flags}
    )


def results(processes):
    try:
        outputs = [process.communicate(timeout=200) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert all(process.returncode == 0 for process in processes), [errors for _, errors in outputs]
    return [json.loads(output.splitlines()[-1]) for output, _ in outputs]


@pytest.fixture(scope="module")
def views(folder):
    """What this process of one device found, and each of two processes of two devices."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    pair = results([start(folder, address, rank) for rank in range(2)])
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        alone = runpy.run_path(str(folder / "program.py"))["measured"](str(folder), [90, 7])
    return [json.loads(alone), *pair]


def test_one_host_and_two_give_the_same_scores(views):
    alone, first, second = views
    assert (alone["devices"], first["devices"]) == (1, 4)
    assert first["found"][0] == second["found"][0]
    np.testing.assert_allclose(first["found"][0], alone["found"][0], rtol=1e-6)
    assert (alone["sheet"], first["sheet"]) == ([4, 8, 8, 3], [4, 8, 8, 3])


def test_each_host_reads_the_rows_of_a_batch_that_its_devices_hold(views):
    assert [view["rows"] for view in views] == [[0, 8], [0, 4], [4, 8]]


def test_chunks_of_any_length_give_the_same_scores(views):
    np.testing.assert_allclose(views[0]["found"][1], views[0]["found"][0], rtol=1e-9)


def test_a_sample_that_is_not_finite_ends_the_evaluation_of_all_hosts(views):
    alone, *pair = (view["found"][-4] for view in views)
    assert "1 of 30 samples of a chunk hold NaN or infinity; did the training diverge?" in alone
    # The chunk is shared, so one of them sees it in its half and the other hears of it.
    assert "1 of 15 samples of a chunk hold NaN" in pair[0]
    assert "process 0 of 2 failed: SampleError: 1 of 15 samples" in pair[1]


def test_hosts_go_on_together_from_the_newest_state_that_all_have(views):
    """One process of two asked to stop after five chunks; then the newest state of process 0 is lost."""
    for view in views:
        (whole, _), stopped, (again, drawn) = view["found"][-3:]
        assert stopped == ["stopped", 5]
        assert (again, drawn) == (whole, 5), "the same bits, from the state after four of nine chunks"
    assert views[1]["found"][-1] == views[2]["found"][-1]


def test_moments_of_parts_merge_to_those_of_the_whole():
    rows = np.random.default_rng(0).standard_normal((500, 6)) + 1e3
    parts = [Moments(6).add(part) for part in np.split(rows, [10, 10, 333])]
    merged = parts[2].merge(parts[0]).merge(parts[3]).merge(parts[1])
    np.testing.assert_allclose(merged.covariance(), np.cov(rows, rowvar=False), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(merged.mean, rows.mean(axis=0), rtol=1e-14)


def test_batches_of_any_size_collect_the_same():
    mix = np.random.default_rng(0).standard_normal((192, 8))
    network = FeatureNetwork("n", "", "none", lambda x: {"pool": x.reshape(len(x), -1) / 255 @ mix})
    images = np.random.default_rng(1).integers(0, 256, (70, 8, 8, 3), dtype=np.uint8)
    found: list[Collected] = [collect(network, [images], batch=batch) for batch in (1, 16, 64)]
    for other in found[1:]:
        np.testing.assert_allclose(other.gaussian("pool").covariance, found[0].gaussian("pool").covariance, rtol=1e-9)
