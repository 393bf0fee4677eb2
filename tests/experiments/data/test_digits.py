"""The digits are scikit-learn's, read without it, and split the same way for everybody."""

import subprocess
import sys

import numpy as np

from dit_grid.experiments.data.digits import digits, to_ink
from dit_grid.experiments.data.registry import dataset_named


def test_equal_to_what_scikit_learn_loads():
    from sklearn.datasets import load_digits

    known = load_digits()
    images, labels = digits().all()
    assert np.array_equal(to_ink(images)[..., 0], known.images)
    assert np.array_equal(labels, known.target)
    assert np.array_equal(digits().labels, known.target)


def test_loading_and_scoring_import_neither_scikit_learn_nor_jax():
    code = (
        "import sys; from dit_grid.experiments.data.registry import dataset_named as d;"
        "from dit_grid.experiments.metrics.dataset_metrics import metrics_for as m; m(d('digits'));"
        "print(sorted({'sklearn', 'jax', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_shapes_types_and_range():
    data = dataset_named("digits")
    images, labels = data.batch(seed=0, step=0, size=128)
    assert (images.shape, images.dtype, labels.shape, labels.dtype) == ((128, 8, 8, 1), "float32", (128,), "int32")
    assert (images.min(), images.max()) == (-1, 1)
    assert (data.name, data.classes, data.shape, data.train_size) == ("digits", 10, (8, 8, 1), 1500)


def test_held_out_digits_are_in_no_batch_and_of_every_class():
    images, labels = digits().heldout()
    trained = {image.tobytes() for image in digits().train().images}
    assert len(labels) == 297
    assert set(labels) == set(range(10))
    assert not trained & {image.tobytes() for image in images}
