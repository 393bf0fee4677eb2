"""Writes scikit-learn's digits as pictures in ten folders, FOLDER/CLASS/IMAGE.png: a data set as people have them.

python examples/images/write_pictures.py results/pictures
"""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

DIGITS = Path(find_spec("sklearn").origin).parent / "datasets" / "data" / "digits.csv.gz"
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIDE = 16
"""Of a picture, in pixels."""


def main(folder: Path) -> None:
    """Write every picture; what is there is written again."""
    table = np.loadtxt(DIGITS, delimiter=",")
    images, labels = table[:, :-1], table[:, -1].astype(int)
    for name in NAMES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, (ink, label) in enumerate(zip(images, labels, strict=True)):
        picture = Image.fromarray(np.uint8(ink.reshape(8, 8) * (255 / 16)))
        picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(folder / NAMES[label] / f"{number:04}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
