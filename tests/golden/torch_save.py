"""Makes `torch_save_*.pt`, checkpoints as torch itself writes them: `uv run --with torch==2.13.0 python` this file."""

import argparse
import collections
import enum
import pathlib

import numpy as np
import torch


class Callback:
    """A class of somebody's program."""

    class Mode(enum.Enum):
        MIN = "min"

    def __init__(self) -> None:
        self.best, self.mode = 3, self.Mode.MIN


def checkpoint() -> dict:
    """What DiT's and Lightning's programs keep beside the weights, at its worst."""
    raw = collections.OrderedDict(
        {
            "a.weight": torch.arange(6.0).reshape(2, 3).T,
            "a.bias": torch.ones(3).bfloat16() * 1.5,
            "half": torch.tensor([0.5, -2.0]).half(),
            "steps": torch.tensor(7),
        }
    )
    attributed = torch.full((2,), 4.0)
    vars(attributed)["note"] = "seen"
    ema = {f"module.{name}": torch.nn.Parameter(value.float()) for name, value in raw.items()}
    return {
        "model": raw,
        "ema": ema | {"module.attributed": attributed},
        "args": argparse.Namespace(prediction="velocity", path=pathlib.PurePosixPath("/data"), dtype=torch.float32),
        "callbacks": {Callback: {"best": 3}},
        "beside": [
            Callback(), torch.device("cuda:0"), torch.Size([2, 3]), torch.__version__, {1, 2}, np.float64(2.5),
            np.random.default_rng(0).bit_generator.state, np.arange(3), torch.ones(2).to(torch.float8_e4m3fn),
            torch.ones(2, dtype=torch.complex64), torch.Generator().get_state()[:8].clone(),
        ],
    }  # fmt: skip


if __name__ == "__main__":
    folder = pathlib.Path(__file__).parent
    torch.save(checkpoint(), folder / "torch_save_zip.pt")
    torch.save(checkpoint(), folder / "torch_save_stream.pt", _use_new_zipfile_serialization=False)
