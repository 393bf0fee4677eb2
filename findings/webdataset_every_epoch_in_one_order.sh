#!/usr/bin/env bash
# webdataset 1.0.2: `WebDataset(..., shardshuffle=100)` shuffles the shards anew in every run and not in every epoch: all
# epochs of a run read them in one order, as the shuffle starts from one seed each time that the data set is iterated. What
# is left is the buffer of `.shuffle(n)`, a few per cent of a data set, so a sample comes at the same point of each epoch
# among the same neighbours. `seed=` changes the order, for all epochs alike. `detshuffle=True`, which counts epochs, does
# so in the main process, and not in a DataLoader's workers, whose copy starts anew. An open pull request, webdataset/
# webdataset#502, says the first of these; no release has it.
# Seen: correlation of a sample's place in epochs 1 and 2, with a buffer of 100 of 4000 samples: shardshuffle 0.99, with two
#       workers 0.97; detshuffle between -0.4 and 0.4, with two workers 0.97
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q webdataset==1.0.2 torch==2.13.0 numpy==2.4.6 2>/dev/null
cd "$folder"
venv/bin/python -W ignore - <<'PY'
from importlib.metadata import version

import numpy as np, webdataset

SHARDS, EACH = 40, 100
print("webdataset", version("webdataset"))
for shard in range(SHARDS):
    with webdataset.TarWriter(f"{shard:04d}.tar") as tar:
        for sample in range(shard * EACH, (shard + 1) * EACH):
            tar.write({"__key__": f"{sample:06d}", "cls": sample})

def places(loader):
    """Where in an epoch each sample came."""
    return np.argsort([int(sample) for (sample,) in loader])

def same_place(workers, persistent=False, **shuffled):
    urls = f"{{0000..{SHARDS - 1:04d}}}.tar"
    data = webdataset.WebDataset(urls, shardshuffle=100, **shuffled).shuffle(100).decode().to_tuple("cls")
    loader = webdataset.WebLoader(data, batch_size=None, num_workers=workers, persistent_workers=persistent)
    first, second = places(loader), places(loader)
    assert len(first) == len(second) == SHARDS * EACH
    return np.corrcoef(first, second)[0, 1]

for workers, persistent, shuffled, same in (
    (0, False, {}, True), (2, False, {}, True), (2, True, {"seed": 7}, True), (0, False, {"detshuffle": True}, False),
    (2, False, {"detshuffle": True}, True), (2, True, {"detshuffle": True}, False)):
    found = same_place(workers, persistent, **shuffled)
    print(f"{workers} workers, persistent {persistent}, {shuffled}: correlation of two epochs {found:.2f}")
    assert (found > 0.9) == same
PY
