"""What a network that describes images must offer, whichever it is: a function from pictures to named features.

Scores made of features are `metrics`; the networks themselves stand beside this file.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

POOL, SPATIAL = "pool", "spatial"
"""Names of features: one vector an image, and the Inception network's spatial one that sFID is made of."""

TF1, PYTORCH_FID, CLEAN_FID = "tf1", "pytorch-fid", "clean-fid"
PREPARATIONS = {
    TF1: "uint8, TF1 bilinear to 299",
    PYTORCH_FID: "uint8, half-pixel bilinear to 299 (pytorch-fid)",
    CLEAN_FID: "uint8, Pillow bicubic to 299 (clean-fid)",
}
"""How images come to the FID network: as in ADM's suite and the papers; in pytorch-fid; in clean-fid."""


@dataclass(frozen=True)
class FeatureNetwork:
    """Any function from uint8 images (B, H, W, 3) to named features (B, D), of which one must be `pool`.

    `preparation` names crop and resize, for the record. `classify`, from pool features (B, D) to logits, is what an
    Inception Score needs. Scores are called fid, sfid … for the network named `inception`, else fd-NAME.
    """

    name: str
    sha256: str
    preparation: str
    extract: Callable[[NDArray[np.uint8]], Mapping[str, ArrayLike]]
    classify: Callable[[NDArray[np.float32]], np.ndarray] | None = None
