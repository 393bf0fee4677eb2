"""A network of one hidden layer in NumPy, trained on scikit-learn's digits: a trainer of one's own, resumable.

The run says what to train and from where; batches and initial weights are functions of the seed and the step, so a run
that was killed ends with the same numbers as one that was not.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

CLASSES = 10
DIGITS = Path(find_spec("sklearn").origin).parent / "datasets" / "data" / "digits.csv.gz"
"""Read as it lies in the package: to import that takes longer than a run."""


def train(run):
    """Train from the run's step to its last; each `log_every` a row, each `checkpoint_every` a checkpoint."""
    width, rate = run.config["width"], run.config["lr"]
    (images, labels), (test_images, test_labels) = split()
    weights = load(run.checkpoint_folder(run.step)) if run.step else initial(images.shape[1], width, run.seed)
    for step in range(run.step + 1, run.steps + 1):
        chosen = np.random.default_rng([run.seed, step]).integers(len(images), size=run.config["batch"])
        loss, gradients = loss_and_gradients(weights, images[chosen], labels[chosen])
        weights = [w - rate * g for w, g in zip(weights, gradients, strict=True)]
        if step % run.log_every == 0:
            run.log(step, loss=loss)
        stop = run.stop_requested
        if step % run.checkpoint_every == 0 or step == run.steps or stop:
            if step % run.checkpoint_every == 0 or step == run.steps:
                heldout = -np.log(probabilities(weights, test_images)[np.arange(len(test_labels)), test_labels]).mean()
                hits = (probabilities(weights, test_images).argmax(1) == test_labels).mean()
                run.evaluate(step, test_loss=heldout, score=hits, samples=len(test_labels))
            np.savez(run.checkpoint_folder(step) / "weights.npz", *weights)
            run.commit(step)
        if stop:
            return


def split():
    """Return (images, labels) to train on and to test on; images are 64 numbers from 0 to 1."""
    table = np.loadtxt(DIGITS, delimiter=",")
    images, labels = table[:, :-1] / 16.0, table[:, -1].astype(int)
    return (images[:1500], labels[:1500]), (images[1500:], labels[1500:])


def initial(inputs, width, seed):
    """Return the weights and biases of both layers."""
    draw = np.random.default_rng(seed).standard_normal
    return [
        draw((inputs, width)) / inputs**0.5, np.zeros(width), draw((width, CLASSES)) / width**0.5, np.zeros(CLASSES),
    ]  # fmt: skip


def load(folder):
    """Return the weights of a checkpoint."""
    with np.load(folder / "weights.npz") as arrays:
        return [arrays[name] for name in arrays.files]


def probabilities(weights, images):
    """Return the class probabilities (B, 10) of images (B, 64)."""
    w1, b1, w2, b2 = weights
    logits = np.maximum(images @ w1 + b1, 0) @ w2 + b2
    odds = np.exp(logits - logits.max(1, keepdims=True))
    return odds / odds.sum(1, keepdims=True)


def loss_and_gradients(weights, images, labels):
    """Return the mean cross-entropy and its gradient by each weight."""
    w1, b1, w2, _ = weights
    hidden = np.maximum(images @ w1 + b1, 0)
    p = probabilities(weights, images)
    picked = np.arange(len(labels)), labels
    loss = -np.log(p[picked]).mean()
    d = p.copy()
    d[picked] -= 1
    d /= len(labels)
    back = (d @ w2.T) * (hidden > 0)
    return loss, [images.T @ back, back.sum(0), hidden.T @ d, d.sum(0)]
