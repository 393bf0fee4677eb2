#!/usr/bin/env bash
# pytorch-fid lists a folder by lower-case suffixes, so on Linux it passes over n01440764_10026.JPEG, as every image of
# ImageNet is called, without a word. A folder of such names and a few others gives statistics of the few others alone.
# No weights are needed to see it: the network here is the mean of each channel.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv --quiet venv
uv pip install --quiet --python venv/bin/python pytorch-fid==0.3.0 torch==2.13.0 torchvision==0.28.0 scipy==1.17.1 numpy==2.4.6
cat > count.py <<'PYTHON'
import os
from importlib.metadata import version

import numpy as np
import torch
from PIL import Image
from pytorch_fid import fid_score

print("pytorch-fid", version("pytorch-fid"))
os.mkdir("images")
for i in range(8):
    name = f"n01440764_{i}.JPEG" if i < 6 else f"sample_{i}.jpg"
    Image.new("RGB", (16, 16), (30 * i, 0, 0)).save(f"images/{name}", "JPEG")
seen = []


class Means(torch.nn.Module):
    def forward(self, images):
        seen.append(len(images))
        return [images.mean((2, 3), keepdim=True)]


fid_score.compute_statistics_of_path("images", Means(), 2, 3, "cpu", 0)
print("files in the folder:", len(os.listdir("images")), "images in the statistics:", sum(seen))
assert sum(seen) == 2, seen
print("as found: 6 images called .JPEG are left out, without a warning")
PYTHON
venv/bin/python count.py
