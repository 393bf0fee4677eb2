"""The time for which a start waits because its hosts have read no shard of latents yet."""

import json
import random
from pathlib import Path

import pytest

from dit_grid.experiments.spec import PriceSpec, load_spec
from dit_grid.experiments.spec.execution import ResourceSpec
from dit_grid.orchestrator.planning.first_reading import Shards, waited_s
from dit_grid.orchestrator.planning.plan import plan
from dit_grid.orchestrator.simulation import Faults
from dit_grid.orchestrator.simulation.of_spec import campaign

GRID = Path(__file__).parents[3] / "experiments" / "grid.yaml"
NAME = "first reading of shards"
IMAGENET_GB = 1_281_167 * 2 * 32 * 32 * 8 * 4 / 1e9
"""Mean and log variance of four channels, as they are and flipped, in float32: 84.0 GB."""


@pytest.fixture(scope="module")
def spec():
    return load_spec(GRID)


def term(spec, model="XL/2", path=None, **price):
    """The term of one run of the grid, and its row of the plan."""
    run = next(run for run in spec.networks if run.model.name == model)
    if path is not None:
        run = run.model_copy(update={"data": run.data.model_copy(update={"path": str(path)})})
    spec = spec.model_copy(update={"plan": spec.plan.model_copy(update=price), "runs": (run,)})
    (row,) = plan(spec)
    return next(one for one in row.terms if one.name == NAME), row


def drawn(n, shard_s, images_per_s, images):
    """By drawing: a reader fetches the shard of each image that is new, and the trainer waits for the image."""
    dice, seen, read_at, used_at = random.Random(0), set(), 0.0, 0.0
    for _ in range(images):
        shard = dice.randrange(n)
        read_at += 0.0 if shard in seen else shard_s
        seen.add(shard)
        used_at = max(used_at, read_at) + 1 / images_per_s
    return used_at - images / images_per_s


@pytest.mark.parametrize(
    ("images_per_s", "images"),
    [(15_119, 200_000), (120, 20_000), (7.0, 8_000), (7.0, 900), (2.5, 8_000)],  # the last needs a shard in 0.4 s
)
def test_it_is_what_a_reader_that_fetches_each_new_shard_is_behind(images_per_s, images):
    shards, price = Shards(1252, 67e6, ""), PriceSpec(read_mb_per_s=200)
    expected = drawn(1252, 67e6 / 200e6, images_per_s, images)
    assert waited_s(shards, price, images_per_s, images) == pytest.approx(expected, rel=0.06, abs=12)


def test_every_host_reads_all_of_imagenet_at_a_start_and_the_term_says_so(spec):
    """S/8 wants images so soon that it waits for nearly all of 84 GB at 200 MB/s: seven minutes."""
    found, row = term(spec, "S/8")
    assert found.hours * 3600 == pytest.approx(IMAGENET_GB * 1e3 / 200, rel=0.01)
    assert found.hours * 3600 < IMAGENET_GB * 1e3 / 200
    assert "each of 4 hosts reads and checks 84 GB, 1,281,167 images (spec: plan.images), at each start" in found.source
    assert found.usd == pytest.approx(found.hours * row.usd_per_hour)
    assert term(spec, "S/8", read_mb_per_s=400.0)[0].hours == pytest.approx(found.hours / 2, rel=0.01)


def test_each_preemption_reads_anew(spec):
    _, calm = term(spec, preemptions_per_hour=0.0)
    found, often = term(spec, preemptions_per_hour=0.1, restart_s=0.0)
    again = (often.overhead - calm.overhead) * (often.train_hours + often.eval_hours)
    _, warm = term(spec, preemptions_per_hour=0.1, restart_s=found.hours * 3600, images=None)
    assert again > 0.1 * found.hours * often.train_hours
    assert often.overhead == pytest.approx(warm.overhead)


def test_a_folder_that_is_here_says_itself_what_it_holds(spec, tmp_path):
    making = {"image_size": 256, "preparation": "center-crop", "vae_sha256": "0" * 64}
    shard = {"making": making, "files_sha256": "", "moments_sha256": "", "labels_sha256": "", "skipped": []}
    shards = [shard | {"index": index, "images": images} for index, images in enumerate((1024, 0, 976))]
    (tmp_path / "manifest.json").write_text(json.dumps({"class_names": ["one"], "shards": shards, "format": 1}))
    found, _ = term(spec, path=tmp_path)
    assert f"0.131 GB, 2,000 images ({tmp_path}/manifest.json)" in found.source
    (tmp_path / "manifest.json").write_text("{")  # what is wrong with it is said where it is read to train
    assert "spec: plan.images" in term(spec, path=tmp_path)[0].source


def test_what_nobody_knows_is_said(spec):
    found, _ = term(spec, images=None)
    assert (found.hours, found.source) == (0, "how many images are trained on is not known: plan.images")


def test_jobs_that_measure_the_loss_on_held_out_latents_read_the_shards_of_these_each(spec):
    """10,000 of 1,281,167 images are in nearly all 1,252 shards; the simulator waits for the same."""
    run = spec.networks[0]
    apart = run.execution.model_copy(update={"evaluate_on": ResourceSpec(slice="v3-8")})
    settings = (run.evaluate.settings[0].model_copy(update={"metrics": ("heldout_loss",)}),)
    run = run.model_copy(
        update={
            "execution": apart,
            "data": run.data.model_copy(update={"heldout": 10_000}),
            "evaluate": run.evaluate.model_copy(update={"settings": settings}),
        }
    )
    run = type(run).model_validate(run.model_dump())  # with an id of its own
    spec = spec.model_copy(update={"runs": (run,)})
    (row,) = plan(spec)
    hours = {one.name: one.hours for one in row.terms}
    assert hours[f"{NAME} of evaluations"] * 3600 == pytest.approx(8 * IMAGENET_GB * 1e3 / 200, rel=0.01)
    found = campaign(spec, {"v3-32": 1, "v3-8": 1}, {}, Faults()).outcome(0)
    assert found.slice_hours == pytest.approx(row.hours, rel=0.01)
