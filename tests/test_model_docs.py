"""Every block of code in docs/model.md runs as it stands there, one after another, and its numbers are true."""

import re
from pathlib import Path
from typing import Any

import pytest

from dit_grid.model import DiTConfig, accounting

TEXT = (Path(__file__).parents[1] / "docs" / "model.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.fixture(scope="module")
def names():
    """The names that the blocks leave behind; running them is the test."""
    found: dict[str, Any] = {}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"docs/model.md, block {number + 1}", "exec"), found)
    return found


def test_every_block_runs(names):
    assert len(BLOCKS) >= 7
    assert names["out"].shape == (2, 8, 8, 8)
    assert names["images"].shape == (2, 8, 8, 4)


def test_the_numbers_beside_the_code_are_those_it_gives():
    params = accounting.trainable_params(DiTConfig.from_name("XL/2", image_size=32))
    macs = accounting.forward_macs(DiTConfig.from_name("B/4", image_size=32))
    assert re.search(rf"trainable_params\(config\)\) +# {params}\n", TEXT)
    assert re.search(rf"forward_macs\(config\) +# {macs} ", TEXT)
