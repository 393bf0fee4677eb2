"""Every host knows its share, as it was told or as its launcher says, and none is done twice or left out."""

import pytest

from dit_grid.orchestrator.commands.hosts import share
from dit_grid.orchestrator.control.errors import RequestError


def test_the_option_comes_first_then_the_launcher_then_all():
    slurm = {"SLURM_PROCID": "3", "SLURM_NTASKS": "8"}
    assert share("0/4", slurm)[:2] == (0, 4)
    assert share(None, slurm) == (3, 8, "SLURM_PROCID")
    assert share(None, {"TPU_WORKER_ID": "1", "TPU_WORKER_HOSTNAMES": "a,b,c"})[:2] == (1, 3)
    assert share(None, {})[:2] == (0, 1)


@pytest.mark.parametrize("asked", ["4/4", "1", "a/b", "-1/2", "1/0", ""])
def test_a_share_that_is_none_is_refused(asked):
    with pytest.raises(RequestError, match="give I/N with 0 <= I < N, for example --host 0/4"):
        share(asked, {})
