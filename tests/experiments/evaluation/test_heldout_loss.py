"""The held-out loss is of all images at the same times and noise, in however many parts they go through the network."""

import jax
import numpy as np
import pytest

from dit_grid.experiments.data.digits import digits
from dit_grid.experiments.evaluation.heldout_loss import DRAWS, heldout_losses
from dit_grid.experiments.spec.run import RunSpec
from dit_grid.experiments.training.update import Program

SEED = 3


def run_spec(sample_batch, **diffusion):
    return RunSpec.model_validate({
        "model": {"size": "T", "patch": 4, "image_size": 8, "channels": 1, "classes": 10, "width": 16, "depth": 1,
                  "heads": 2},
        "diffusion": diffusion,
        "data": {"name": "digits"},
        "train": {"steps": 4, "batch": 8, "log_every": 2},
        "evaluate": {"every": 2, "settings": [{"metrics": ["heldout_loss"], "samples": 25}]},
        "execution": {"checkpoint_every": 2, "sample_batch": sample_batch},
    })  # fmt: skip


def by_hand(program, params, images, labels):
    """One image at a time, as the definition says it: draw d of image i stands at place i x DRAWS + d of all times."""
    network, losses = program.network(params), np.empty((DRAWS, len(images)))

    @jax.jit
    def loss(image, place, label, noise):
        diffusion = program.diffusion
        t = diffusion.even_times(place[None], len(images) * DRAWS)
        terms = diffusion.training_losses(lambda x, t: network(x, t, label[None]), image[None], t, noise[None])
        return terms["loss"][0]

    for draw in range(DRAWS):
        noise = np.asarray(jax.random.normal(jax.random.fold_in(jax.random.key(SEED), draw), images.shape))
        for i, image in enumerate(images):
            losses[draw, i] = loss(image, np.int32(i * DRAWS + draw), labels[i], noise[i])
    return losses


@pytest.mark.parametrize("diffusion", [{}, {"path": "linear", "prediction": "velocity", "loss": "velocity"}])
def test_losses_do_not_depend_on_how_many_images_go_through_at_a_time(diffusion):
    images, labels = (array[:6] for array in digits().heldout())
    programs = [Program(run_spec(sample_batch, **diffusion)) for sample_batch in (None, 4, 1)]
    program, params = programs[0], programs[0].init().ema
    found = [heldout_losses(one, params, images, labels, SEED) for one in programs]
    np.testing.assert_allclose(found[0], by_hand(program, params, images, labels), rtol=1e-5)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-5)


def test_no_more_images_than_sample_batch_allows_are_in_a_device_at_once(monkeypatch):
    import dit_grid.experiments.evaluation.heldout_loss as module

    seen, program = [], Program(run_spec(10))
    honest = module.put_batch

    def counted(array, sharding):
        seen.append(len(array))
        return honest(array, sharding)

    monkeypatch.setattr(module, "put_batch", counted)
    images, labels = (array[:25] for array in digits().heldout())
    heldout_losses(program, program.init().ema, images, labels, SEED)
    assert set(seen) == {9}  # 25 images in three parts that waste least
