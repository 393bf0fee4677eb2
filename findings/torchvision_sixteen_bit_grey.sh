#!/usr/bin/env bash
# A sixteen-bit grey PNG of value 20,000 of 65,535 (30 %) becomes white in torchvision's ImageFolder, whose loader calls
# Pillow's convert("RGB"), which cuts off above 255. Opened by hand, ToTensor() gives 20000 where it promises [0, 1].
# Medical and depth data sets come so: training runs, and every image is the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv --quiet venv
uv pip install --quiet --python venv/bin/python torchvision==0.28.0 torch==2.13.0 pillow==13.0.0 numpy==2.4.6
cat > read.py <<'PYTHON'
import os

import numpy as np
import PIL
import torchvision
from PIL import Image
from torchvision import transforms
from torchvision.datasets import ImageFolder

print("torchvision", torchvision.__version__, "pillow", PIL.__version__)
os.makedirs("images/scans")
greys = np.full((8, 8), 20_000, np.uint16)
greys[:4] = 5_000
Image.fromarray(greys).save("images/scans/a.png")
by_folder = ImageFolder("images", transforms.ToTensor())[0][0]
by_hand = transforms.ToTensor()(Image.open("images/scans/a.png"))
print("right: 5,000 is 0.076 and 20,000 is 0.305")
print("ImageFolder + ToTensor:", sorted(set(by_folder.flatten().tolist())))
print("Image.open + ToTensor: ", sorted(set(by_hand.flatten().tolist())), by_hand.dtype)
assert set(by_folder.flatten().tolist()) == {1.0}
assert set(by_hand.flatten().tolist()) == {5000, 20000}
print("as found: white in one, unscaled in the other, no warning in either")
PYTHON
venv/bin/python read.py
