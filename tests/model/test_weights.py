"""Weights go out and come back to the bit, and no file is taken for a network that it does not hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from dit_grid.model import BLOCKS, DiTConfig
from dit_grid.model.weights import (
    WeightsError,
    from_tensors,
    load_weights,
    read_tensors,
    save_weights,
    to_tensors,
)

CONFIG = DiTConfig(8, 2, 24, 2, 3, classes=5)


def params_of(model):
    return nnx.state(model, nnx.Param)


@pytest.mark.parametrize("name", ["dit_p2_8x8", "dit_p4_16x16", "dit_p8_16x16"])
def test_the_references_state_dict_comes_back_to_the_bit(golden, golden_network, name):
    file = golden(name)
    model = golden_network(file)
    tensors = to_tensors(model.config, params_of(model))
    assert set(tensors) == {key.removeprefix("sd.") for key in file if key.startswith("sd.")}
    for key, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, file[f"sd.{key}"], err_msg=key)


@pytest.mark.parametrize("layout", ["reference", "diffusers"])
def test_a_saved_file_loads_to_the_bit(random_network, tmp_path, layout):
    model, path = random_network(CONFIG), tmp_path / "w.safetensors"
    save_weights(model, path, layout)
    blank, state = nnx.split(random_network(CONFIG))
    other = nnx.merge(blank, jax.tree.map(jnp.zeros_like, state))
    load_weights(other, path)
    jax.tree.map(np.testing.assert_array_equal, params_of(other), params_of(model))


@pytest.mark.parametrize(
    "config",
    [DiTConfig(8, 2, 24, 2, 3, classes=5, block=block) for block in BLOCKS]
    + [DiTConfig(8, 2, 24, 2, 3, block="in-context", context_width=9, learn_sigma=False)],
)
def test_every_design_has_a_layout(random_network, config):
    params = params_of(random_network(config))
    back = from_tensors(config, to_tensors(config, params))
    jax.tree.map(np.testing.assert_array_equal, back, params)


def test_all_that_is_wrong_is_listed_at_once(random_network):
    tensors = to_tensors(CONFIG, params_of(random_network(CONFIG)))
    del tensors["t_embedder.mlp.0.bias"]
    tensors["head.weight"] = np.zeros(3)
    tensors["blocks.1.attn.proj.weight"] = np.zeros((24, 25))
    with pytest.raises(WeightsError) as caught:
        from_tensors(CONFIG, tensors, source="w.pt")
    for words in (
        "w.pt",
        "1 missing: t_embedder.mlp.0.bias",
        "1 unexpected: head.weight",
        "1 misshapen: blocks.1.attn.proj.weight (24, 25) instead of (24, 24)",
    ):
        assert words in str(caught.value)


def test_another_network_is_refused(random_network):
    deeper = DiTConfig(8, 2, 24, 3, 3, classes=5)
    tensors = to_tensors(deeper, params_of(random_network(deeper)))
    with pytest.raises(WeightsError, match=r"10 unexpected: blocks\.2\.adaLN_modulation"):
        from_tensors(CONFIG, tensors)
    tensors = to_tensors(CONFIG, params_of(random_network(CONFIG)))
    tensors["pos_embed"] = tensors["pos_embed"][:, ::-1]
    with pytest.raises(WeightsError, match="pos_embed is not the fixed position table of 16 tokens"):
        from_tensors(CONFIG, tensors)


def test_diffusers_copies_of_one_tensor_must_agree(random_network):
    tensors = to_tensors(CONFIG, params_of(random_network(CONFIG)), "diffusers")
    name = "transformer_blocks.1.norm1.emb.class_embedder.embedding_table.weight"
    tensors[name] = tensors[name] + 1
    with pytest.raises(WeightsError, match=rf"{name} differs"):
        from_tensors(CONFIG, tensors, "diffusers")


def test_diffusers_has_one_design_only(random_network):
    config = DiTConfig(8, 2, 24, 2, 3, block="in-context")
    with pytest.raises(ValueError, match="diffusers has no in-context block"):
        to_tensors(config, params_of(random_network(config)), "diffusers")


def test_a_truncated_or_missing_safetensors_file_is_one_clear_error(tmp_path):
    path = tmp_path / "w.safetensors"
    with pytest.raises(WeightsError, match="no such file"):
        read_tensors(path)
    save_file({"a": np.zeros(100, np.float32)}, path)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(WeightsError, match=r"w\.safetensors: not a readable safetensors file"):
        read_tensors(path)


def test_numbers_that_are_not_finite_are_refused(random_network):
    tensors = to_tensors(CONFIG, params_of(random_network(CONFIG)))
    tensors["final_layer.linear.bias"] = np.full_like(tensors["final_layer.linear.bias"], np.nan)
    with pytest.raises(WeightsError, match=r"final_layer\.linear\.bias holds NaN"):
        from_tensors(CONFIG, tensors)


def test_two_byte_floats_load_as_float32_and_stranger_types_are_refused(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"a": np.array([1.5, -2.0], jnp.bfloat16)}, path)
    np.testing.assert_array_equal(read_tensors(path)["a"].astype(np.float32), [1.5, -2.0])
    path.write_bytes(path.read_bytes().replace(b'"BF16"', b'"F4X9"'))
    with pytest.raises(WeightsError, match="not a readable safetensors file"):
        read_tensors(path)


def test_a_folder_that_cannot_be_written_is_one_clear_error_and_leaves_nothing(random_network, tmp_path):
    with pytest.raises(WeightsError, match="cannot be written"):
        save_weights(random_network(CONFIG), tmp_path / "missing" / "w.safetensors")
    assert not list(tmp_path.iterdir())


def test_weights_of_an_unknown_kind_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="'average' is not one of ema, raw"):
        read_tensors(tmp_path / "w.pt", weights="average")  # type: ignore[arg-type]
