"""diffusers' transformer in torch, set up to be the paper's network, as a second and live reference.

Optional: `uv sync --group oracle`, then `pytest -m oracle`. As shipped it is not the paper's network: it divides
timestep frequencies by 127 instead of 128 and its norms have another epsilon.
"""

import jax
import numpy as np
import pytest
from flax import nnx

from dit_grid.model import DiTConfig
from dit_grid.model.weights import load_weights, read_tensors, to_tensors

pytestmark = pytest.mark.oracle
torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

CONFIGS = [DiTConfig(8, 2, 48, 3, 3, classes=10), DiTConfig(16, 4, 64, 2, 4, classes=7), DiTConfig(16, 8, 48, 1, 2)]


def oracle(config):
    from diffusers.models.embeddings import Timesteps

    model = diffusers.DiTTransformer2DModel(
        num_attention_heads=config.heads,
        attention_head_dim=config.head_width,
        in_channels=config.channels,
        out_channels=config.out_channels,
        num_layers=config.depth,
        sample_size=config.image_size,
        patch_size=config.patch,
        num_embeds_ada_norm=config.classes,
        attention_bias=True,
        activation_fn="gelu-approximate",
        norm_elementwise_affine=False,
        norm_eps=1e-6,
    )
    for block in model.transformer_blocks:
        block.norm1.emb.time_proj = Timesteps(256, flip_sin_to_cos=True, downscale_freq_shift=0)
    return model.eval()


@pytest.mark.parametrize("config", CONFIGS)
def test_our_weights_run_in_diffusers_with_our_numbers(random_network, config):
    ours, theirs = random_network(config), oracle(config)
    tensors = to_tensors(config, nnx.state(ours, nnx.Param), "diffusers")
    loaded = theirs.load_state_dict({name: torch.tensor(np.array(tensor)) for name, tensor in tensors.items()})
    assert not loaded.missing_keys
    assert not loaded.unexpected_keys
    draw = np.random.default_rng(1)
    x = draw.standard_normal((3, config.image_size, config.image_size, config.channels), np.float32)
    t, y = np.array([0, 500, 999]), np.array([0, 3, config.classes])
    with torch.no_grad():
        images = torch.tensor(np.moveaxis(x, -1, 1).copy())
        expected = theirs(images, timestep=torch.tensor(t), class_labels=torch.tensor(y)).sample.numpy()
    actual = jax.jit(lambda *inputs: ours(*inputs))(x, t, y)
    # 1e-4 of the maximum: near t = 999 one rounding of the timestep table is 3e-5, and these weights are large. The
    # frequencies as diffusers ships them would change the output by half of its size.
    np.testing.assert_allclose(actual, np.moveaxis(expected, 1, -1), atol=1e-4 * np.abs(expected).max())


def test_torchs_own_files_are_read(random_network, tmp_path):
    config = CONFIGS[0]
    source = random_network(config)
    tensors = {name: torch.tensor(np.array(tensor)) for name, tensor in to_tensors(config, nnx.state(source)).items()}
    path = tmp_path / "checkpoint.pt"
    optimizer = torch.optim.AdamW([torch.nn.Parameter(tensors["pos_embed"])])
    torch.save({"model": {}, "ema": tensors, "opt": optimizer.state_dict(), "args": {"model": "DiT-XL/2"}}, path)
    assert {name: array.shape for name, array in read_tensors(path).items()} == {
        name: tuple(tensor.shape) for name, tensor in tensors.items()
    }
    target = nnx.merge(nnx.graphdef(source), jax.tree.map(np.zeros_like, nnx.state(source)))
    load_weights(target, path)
    jax.tree.map(np.testing.assert_array_equal, nnx.state(target), nnx.state(source))
