"""Strings of the command line: targets, slices, rates, faults, classes, hosts, models. A value, or one line."""

import random

import pytest

from dit_grid.analysis.forecasting.target import parse_target
from dit_grid.experiments.spec.slices import slice_hosts, slice_mistake
from dit_grid.model.config import DiTConfig
from dit_grid.orchestrator.commands import sample
from dit_grid.orchestrator.commands.hosts import share
from dit_grid.orchestrator.commands.simulate_request import counts, fault_rates, rate

INPUTS = 5000


def host_share(text):
    return share(text, {})


def slices(text):
    if not slice_mistake(text):
        return slice_hosts(text)
    return counts((text,))


READERS = {
    "target": (
        parse_target,
        ["exponent ±0.05", "exponent +-0.05", "forecast:XL/2 ±10%", "slope", "interaction +/-1e-3"],
    ),
    "width": (lambda text: parse_target(text, with_width=True), ["exponent ±0.05", "forecast:XL/2 10%"]),
    "slices": (slices, ["v3-32=4", "v3-32=4,v3-128=1", "cpu=2", "gpu=8", "v5litepod-16=1", "v3-32"]),
    "rate": (lambda text: rate("--preemption-rate", text), ["0.1/h", "2/d", "0", ".5/h"]),
    "fault": (lambda text: fault_rates((text,)), ["kill=0.1/h", "nan=0.1", "out-of-memory=.2", "driver=1/d"]),
    "classes": (lambda text: sample._classes(text, 10), ["0-9", "1,2,3", "0-4,7"]),
    "host": (host_share, ["0/4", "3/4", "0/1"]),
    "model": (lambda text: DiTConfig.from_name(text, image_size=32), ["XL/2", "DiT-B/4", "S/8"]),
}


def made(beginnings, nasty):
    letters = "0123456789.,;:-=/±%*eEhdvxX+ \t\nαé٣²𝟙\x00()[]{}\\'\"" + "abc"

    def one(draws: random.Random) -> str:
        text = draws.choice(beginnings)
        for _ in range(draws.choice([1, 1, 2, 5])):
            at = draws.randint(0, len(text))
            new = draws.choice(
                [
                    draws.choice(letters),
                    draws.choice(letters) * 3,
                    draws.choice(nasty),
                    str(10 ** draws.randint(0, 400)),
                    "",
                ]
            )
            text = text[:at] + new + text[at + draws.choice([0, 0, 1, 3]) :]
        return text

    return one


@pytest.mark.parametrize("kind", list(READERS))
def test_strings_of_the_command_line(fuzz, damage, kind, inputs):
    read, beginnings = READERS[kind]
    assert all(read(text) is not None for text in beginnings)
    assert fuzz.text(made(beginnings, damage.nasty), read, inputs)
