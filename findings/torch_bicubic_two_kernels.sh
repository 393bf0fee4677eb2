#!/usr/bin/env bash
# torch.nn.functional.interpolate(mode="bicubic") uses Keys' kernel with a = -0.75, but a = -0.5 with antialias=True; so
# the flag changes an enlargement, where there is nothing to antialias (for bilinear it does not). Pillow's bicubic is the
# second. Position tables resized for another resolution (DINOv2, ViT), and features behind a bicubic resize, differ.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
uv venv --quiet venv
uv pip install --quiet --python venv/bin/python torch==2.13.0 pillow==13.0.0 numpy==2.4.6
cat > resize.py <<'PYTHON'
import numpy as np
import PIL
import torch
import torch.nn.functional as F
from PIL import Image

print("torch", torch.__version__, "pillow", PIL.__version__)
ramp = torch.from_numpy(np.random.default_rng(0).uniform(0, 255, (1, 1, 16, 16)).astype(np.float32))
pillow = np.asarray(Image.fromarray(ramp[0, 0].numpy()).resize((32, 32), Image.Resampling.BICUBIC))


def enlarged(mode, antialias):
    return F.interpolate(ramp, size=(32, 32), mode=mode, align_corners=False, antialias=antialias)[0, 0].numpy()


bicubic = np.abs(enlarged("bicubic", False) - enlarged("bicubic", True)).max()
bilinear = np.abs(enlarged("bilinear", False) - enlarged("bilinear", True)).max()
with_flag = np.abs(enlarged("bicubic", True) - pillow).max()
print(f"16 -> 32 pixels, values 0 to 255: what antialias changes: bicubic {bicubic:.3f}, bilinear {bilinear:.6f}")
print(f"difference from Pillow's bicubic with the flag: {with_flag:.6f}")
assert bicubic > 1
assert bilinear < 1e-3
assert with_flag < 1e-2
print("as found: the flag chooses another kernel")
PYTHON
venv/bin/python resize.py
