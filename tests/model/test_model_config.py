"""A network's shape is checked when it is made, and importing its accounting never imports JAX."""

import subprocess
import sys

import pytest

from dit_grid.model import SIZES, ConfigError, DiTConfig


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("patch", "tokens"), [(8, 16), (4, 64), (2, 256)])
def test_the_twelve_names_give_the_papers_shapes(size, patch, tokens):
    config = DiTConfig.from_name(f"{size}/{patch}", image_size=32)
    assert (config.depth, config.width, config.heads) == SIZES[size]
    assert (config.patch, config.tokens, config.out_channels) == (patch, tokens, 8)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"patch": 3}, ["image_size 32", "patch 3", "[1, 2, 4, 8, 16, 32]"]),
        ({"heads": 7}, ["width 64", "heads 7", "divides"]),
        ({"width": 66, "heads": 2}, ["width 66", "multiple of 4", "68"]),
        ({"depth": 0}, ["depth is 0", "at least 1"]),
        ({"channels": 1.5}, ["channels is 1.5", "whole number"]),
        ({"block": "adaln_zero"}, ["adaln_zero", "did you mean 'adaln-zero'"]),
        ({"context_width": 16}, ["adaln-zero", "context_width 16", "in-context"]),
        ({"context_length": 5}, ["context_length 5", "without context_width"]),
        ({"block": "in-context", "context_width": 16, "context_length": 0}, ["context_length is 0", "at least 1"]),
    ],
)
def test_an_impossible_network_is_refused_with_the_field_and_the_fix(change, words):
    fields = {"image_size": 32, "patch": 2, "width": 64, "depth": 2, "heads": 4} | change
    with pytest.raises(ConfigError) as caught:
        DiTConfig(**fields)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize("name", ["XXL/2", "XL", "XL/two", "XL/3", ""])
def test_a_name_that_is_no_network_is_refused(name):
    with pytest.raises(ConfigError):
        DiTConfig.from_name(name, image_size=32)


def test_config_and_accounting_import_neither_jax_nor_ray():
    code = (
        "import sys; from dit_grid.model import DiTConfig; import dit_grid.model.accounting; "
        "assert not {'jax', 'flax', 'ray'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
