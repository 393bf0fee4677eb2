"""What is connected to what in Inception-v3's FID variant, as data: the network of 5 December 2015, 1,008 classes.

Names are those of the PyTorch weight files. Running the graph is `inception`, filling it `inception_weights`.
Source: Szegedy et al. 2016; the variant's three deviations from torchvision are marked below.
"""

from collections.abc import Generator, Iterator
from typing import Literal, NamedTuple


class Convolution(NamedTuple):
    """A convolution with batch norm and ReLU; `averaged` averages 3×3 patches of its input first."""

    name: str
    features: int
    kernel: tuple[int, int] = (1, 1)
    stride: int = 1
    padding: Literal["SAME", "VALID"] = "SAME"
    averaged: bool = False  # deviation: padding is left out of the averages' count


class MaxPool(NamedTuple):
    """The largest of each 3×3 patch; only stride 1 pads."""

    stride: int


class Fork(NamedTuple):
    """Branches that read the same input; their outputs are concatenated in order."""

    branches: tuple["Chain", ...]


Chain = tuple[Convolution | MaxPool | Fork, ...]

POOL_FEATURES = 2048
CLASSES = 1008
SPATIAL_CHANNELS = 7
SPATIAL_STAGE = "Mixed_6d"
"""sFID reads the first channels of this stage: its first branch, which TensorFlow calls mixed_6/conv."""


def _mixed_5(name: str, pooled: int) -> Chain:
    double = Convolution(f"{name}.branch3x3dbl_2", 96, (3, 3)), Convolution(f"{name}.branch3x3dbl_3", 96, (3, 3))
    branches: tuple[Chain, ...] = (
        (Convolution(f"{name}.branch1x1", 64),),
        (Convolution(f"{name}.branch5x5_1", 48), Convolution(f"{name}.branch5x5_2", 64, (5, 5))),
        (Convolution(f"{name}.branch3x3dbl_1", 64), *double),
        (Convolution(f"{name}.branch_pool", pooled, averaged=True),),
    )
    return (Fork(branches),)


def _mixed_6a(name: str) -> Chain:
    branches: tuple[Chain, ...] = (
        (Convolution(f"{name}.branch3x3", 384, (3, 3), 2, "VALID"),),
        (
            Convolution(f"{name}.branch3x3dbl_1", 64),
            Convolution(f"{name}.branch3x3dbl_2", 96, (3, 3)),
            Convolution(f"{name}.branch3x3dbl_3", 96, (3, 3), 2, "VALID"),
        ),
        (MaxPool(2),),
    )
    return (Fork(branches),)


def _mixed_6(name: str, inner: int) -> Chain:
    single = Convolution(f"{name}.branch7x7_1", inner), Convolution(f"{name}.branch7x7_2", inner, (1, 7))
    kernels = ((1, 1), (7, 1), (1, 7), (7, 1))
    double = [Convolution(f"{name}.branch7x7dbl_{i}", inner, kernel) for i, kernel in enumerate(kernels, start=1)]
    branches: tuple[Chain, ...] = (
        (Convolution(f"{name}.branch1x1", 192),),
        (*single, Convolution(f"{name}.branch7x7_3", 192, (7, 1))),
        (*double, Convolution(f"{name}.branch7x7dbl_5", 192, (1, 7))),
        (Convolution(f"{name}.branch_pool", 192, averaged=True),),
    )
    return (Fork(branches),)


def _mixed_7a(name: str) -> Chain:
    branches: tuple[Chain, ...] = (
        (Convolution(f"{name}.branch3x3_1", 192), Convolution(f"{name}.branch3x3_2", 320, (3, 3), 2, "VALID")),
        (
            Convolution(f"{name}.branch7x7x3_1", 192),
            Convolution(f"{name}.branch7x7x3_2", 192, (1, 7)),
            Convolution(f"{name}.branch7x7x3_3", 192, (7, 1)),
            Convolution(f"{name}.branch7x7x3_4", 192, (3, 3), 2, "VALID"),
        ),
        (MaxPool(2),),
    )
    return (Fork(branches),)


def _mixed_7(name: str, pool: Chain) -> Chain:
    def wide(stem: str) -> Fork:
        return Fork(((Convolution(f"{stem}a", 384, (1, 3)),), (Convolution(f"{stem}b", 384, (3, 1)),)))

    double = Convolution(f"{name}.branch3x3dbl_1", 448), Convolution(f"{name}.branch3x3dbl_2", 384, (3, 3))
    branches: tuple[Chain, ...] = (
        (Convolution(f"{name}.branch1x1", 320),),
        (Convolution(f"{name}.branch3x3_1", 384), wide(f"{name}.branch3x3_2")),
        (*double, wide(f"{name}.branch3x3dbl_3")),
        pool,
    )
    return (Fork(branches),)


STEM: Chain = (
    Convolution("Conv2d_1a_3x3", 32, (3, 3), 2, "VALID"),
    Convolution("Conv2d_2a_3x3", 32, (3, 3), 1, "VALID"),
    Convolution("Conv2d_2b_3x3", 64, (3, 3)),
    MaxPool(2),
    Convolution("Conv2d_3b_1x1", 80),
    Convolution("Conv2d_4a_3x3", 192, (3, 3), 1, "VALID"),
    MaxPool(2),
)
"""From 299 × 299 pixels to 35 × 35 positions of 192 channels."""

MIXED: dict[str, Chain] = {
    "Mixed_5b": _mixed_5("Mixed_5b", pooled=32),
    "Mixed_5c": _mixed_5("Mixed_5c", pooled=64),
    "Mixed_5d": _mixed_5("Mixed_5d", pooled=64),
    "Mixed_6a": _mixed_6a("Mixed_6a"),
    "Mixed_6b": _mixed_6("Mixed_6b", inner=128),
    "Mixed_6c": _mixed_6("Mixed_6c", inner=160),
    "Mixed_6d": _mixed_6("Mixed_6d", inner=160),
    "Mixed_6e": _mixed_6("Mixed_6e", inner=192),
    "Mixed_7a": _mixed_7a("Mixed_7a"),
    "Mixed_7b": _mixed_7("Mixed_7b", (Convolution("Mixed_7b.branch_pool", 192, averaged=True),)),
    # Deviation: the last pool takes the maximum. The third is the 1,008 classes.
    "Mixed_7c": _mixed_7("Mixed_7c", (MaxPool(1), Convolution("Mixed_7c.branch_pool", 192))),
}
"""The stages after the stem in order, up to the global average."""


def convolutions() -> Iterator[tuple[Convolution, int]]:
    """Every convolution of the network with the channels of its input."""
    channels = 3
    for chain in (STEM, *MIXED.values()):
        channels = yield from _convolutions(chain, channels)


def _convolutions(chain: Chain, channels: int) -> Generator[tuple[Convolution, int], None, int]:
    """Yields as `convolutions` does, and returns the channels that leave the chain."""
    for step in chain:
        if isinstance(step, Convolution):
            yield step, channels
            channels = step.features
        elif isinstance(step, Fork):
            entering, channels = channels, 0
            for branch in step.branches:
                channels += yield from _convolutions(branch, entering)
    return channels
