"""A program as one finds it: an averaged perceptron on scikit-learn's digits, which knows nothing of dit-grid.

It prints a line every hundred updates, saves what it knows now and then, and goes on from such a file.
"""

import argparse
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np

DIGITS = Path(find_spec("sklearn").origin).parent / "datasets" / "data" / "digits.csv.gz"


def main():
    """Train as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", default="perceptron.json")
    parser.add_argument("--save-every", type=int, default=500)
    parser.add_argument("--resume")
    asked = parser.parse_args()

    table = np.loadtxt(DIGITS, delimiter=",")
    images, labels = table[:, :-1], table[:, -1].astype(int)
    basis = np.random.default_rng(asked.seed).standard_normal((64, asked.features)) / 8
    features = np.maximum(images / 16 @ basis, 0)
    state = {"update": 0, "weights": np.zeros((asked.features, 10)).tolist()}
    if asked.resume:
        with open(asked.resume) as file:
            state = json.load(file)
    weights = np.array(state["weights"])
    for update in range(state["update"] + 1, asked.updates + 1):
        chosen = np.random.default_rng([asked.seed, update]).integers(1500, size=32)
        guessed = (features[chosen] @ weights).argmax(1)
        for row, label, guess in zip(features[chosen], labels[chosen], guessed, strict=True):
            if label != guess:
                weights[:, label] += row
                weights[:, guess] -= row
        if update % 100 == 0:
            print(f"update {update}: training error {(guessed != labels[chosen]).mean():.4f}")
        if update % asked.save_every == 0:
            wrong = ((features[1500:] @ weights).argmax(1) != labels[1500:]).mean()
            with open(asked.save, "w") as file:
                json.dump({"update": update, "weights": weights.tolist()}, file)
            print(f"update {update}: saved, test error {wrong:.4f}")


if __name__ == "__main__":
    main()
