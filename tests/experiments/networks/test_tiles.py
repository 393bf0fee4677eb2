"""Tiles meet without a seam: a decoder that works pixel by pixel gives the same image in one piece or in many."""

import numpy as np
import pytest

from dit_grid.experiments.networks.autoencoder_tiles import decode_tiled


def enlarge(latents):
    """A decoder without context."""
    return np.repeat(np.repeat(3 * latents[..., :3], 8, axis=1), 8, axis=2)


@pytest.mark.parametrize(("height", "width", "tile", "overlap"), [(8, 8, 16, 4), (40, 23, 16, 4), (33, 16, 16, 0)])
def test_tiles_join_to_the_whole(height, width, tile, overlap):
    latents = np.random.default_rng(0).standard_normal((2, height, width, 4)).astype(np.float32)
    sides = []

    def decode(piece):
        sides.append(piece.shape[1:3])
        return enlarge(piece)

    found = decode_tiled(decode, latents, scale=8, tile=tile, overlap=overlap)
    np.testing.assert_allclose(found, enlarge(latents), rtol=1e-5, atol=1e-6)  # float32 blending
    assert set(sides) == {(min(height, tile), min(width, tile))}  # one compiled shape


def test_where_tiles_disagree_one_fades_into_the_other():
    levels = iter([0.0, 1.0])
    found = decode_tiled(lambda z: np.full((*z.shape[:3], 1), next(levels)), np.zeros((1, 4, 12, 4)), 1, 8, overlap=4)
    across = found[0, 0, :, 0]
    assert list(across[:4]) == [0] * 4
    assert list(across[8:]) == [1] * 4
    np.testing.assert_allclose(np.diff(across[3:9]), 0.2, atol=1e-6)  # five equal steps from the one to the other


def test_an_overlap_as_large_as_the_tile_is_refused():
    with pytest.raises(ValueError, match="tiles of 16 latents with an overlap of 16; allowed is 0 to 15"):
        decode_tiled(enlarge, np.zeros((1, 8, 8, 4)), 8, tile=16, overlap=16)
