"""What is compared: each contest's work, its cases, its peers, and the clock that is fair to all of them.

The work itself is in the module that a contest names; how often and in which order is `pairs`.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from dit_grid.orchestrator.control.errors import RequestError

OURS = "dit-grid"

Clock = Literal["processor", "wall"]


@dataclass(frozen=True)
class Contest:
    """One piece of work that we and some peers do, under the name that `--only` takes.

    `peers` maps each peer to the package that it needs. Processor seconds count what computes in its own process on one
    core, wall seconds what waits for disks or starts processes of its own. A case with an @ is a network and its batch.
    """

    name: str
    work: str
    cases: tuple[str, ...]
    peers: dict[str, str]
    clock: Clock
    rounds: int
    turn_s: float = 2.0
    """How long a turn lasts about where a piece of work is shorter. Training goes on and on, and the first piece after
    another's turn finds cold caches and sleeping threads (S/8 on two threads: 0.18 s, and 0.13 s from then on), so that
    it is not counted where there are more."""

    @property
    def module(self) -> str:
        """Where its ways of doing the work are: a `WAYS` of contestant -> maker(case, threads) -> work."""
        return f"dit_grid.orchestrator.bench.{self.name}"

    @property
    def has_networks(self) -> bool:
        """Whether its cases are networks, and others may be asked for."""
        return "@" in self.cases[0]

    def clock_of(self, threads: int) -> Clock:
        """The fair clock: several cores are to shorten the wait, and threads that spin use up their processor."""
        return self.clock if threads == 1 else "wall"

    def installed(self) -> list[str]:
        """The peers that can be asked here."""
        return [peer for peer, package in self.peers.items() if find_spec(package)]

    def missing(self) -> list[str]:
        """The packages whose peers cannot."""
        return sorted({package for package in self.peers.values() if not find_spec(package)})


TORCH = {"torch": "torch", "torch.compile": "torch"}
CONTESTS = (
    Contest("updates", "an update in float32, AdamW and EMA", ("S/8@8", "S/4@8"),
            TORCH | {"its products alone": "numpy"}, "processor", 5),
    Contest("forward", "a forward pass", ("S/4@8",), {"diffusers": "diffusers"}, "processor", 5),
    Contest("samples", "guided images by 25 DDPM steps", ("S/4@8",), TORCH, "processor", 2),
    Contest("logs", "1,000 rows of three numbers, on the disk",
            ("rows",), {"TensorBoard": "tensorboardX", "MLflow": "mlflow", "W&B": "wandb"}, "wall", 5),
    Contest("laws", "Chinchilla's law of 240 runs", ("law",), {"SciPy": "scipy"}, "processor", 1),
    Contest("grids", "six runs that do nothing, from the command to its end",
            ("grid",), {"Ray Tune": "ray.tune"}, "wall", 2),
)  # fmt: skip


def asked(names: tuple[str, ...]) -> list[Contest]:
    """The contests of these names, all for none; RequestError for a name that is not one."""
    known = {contest.name: contest for contest in CONTESTS}
    if unknown := [name for name in names if name not in known]:
        raise RequestError(f"--only {unknown[0]}: no such comparison; there are {', '.join(known)}")
    return [known[name] for name in names] if names else list(CONTESTS)
