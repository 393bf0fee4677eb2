"""The command line: thin commands over the library, and the only place that sees all four folders.

Every import of weight stands inside a command, so that `dit-grid --help` answers at once.
"""

import errno
import os
import sys

import click

from dit_grid.orchestrator.commands.bench import COMMANDS as BENCH_COMMANDS
from dit_grid.orchestrator.commands.cluster import COMMANDS as CLUSTER_COMMANDS
from dit_grid.orchestrator.commands.compare import COMMANDS as COMPARE_COMMANDS
from dit_grid.orchestrator.commands.control import COMMANDS as CONTROL_COMMANDS
from dit_grid.orchestrator.commands.coordinates import COMMANDS as COORDINATES_COMMANDS
from dit_grid.orchestrator.commands.doctor import COMMANDS as DOCTOR_COMMANDS
from dit_grid.orchestrator.commands.encode import COMMANDS as ENCODE_COMMANDS
from dit_grid.orchestrator.commands.evaluate import COMMANDS as EVALUATE_COMMANDS
from dit_grid.orchestrator.commands.forecast import COMMANDS as FORECAST_COMMANDS
from dit_grid.orchestrator.commands.import_weights import COMMANDS as IMPORT_COMMANDS
from dit_grid.orchestrator.commands.init import COMMANDS as INIT_COMMANDS
from dit_grid.orchestrator.commands.launch import COMMANDS as LAUNCH_COMMANDS
from dit_grid.orchestrator.commands.options import DONE, INTERRUPTED, SOME_FAILED, WRONG_REQUEST
from dit_grid.orchestrator.commands.plan import COMMANDS as PLAN_COMMANDS
from dit_grid.orchestrator.commands.report import COMMANDS as REPORT_COMMANDS
from dit_grid.orchestrator.commands.results import COMMANDS as RESULTS_COMMANDS
from dit_grid.orchestrator.commands.sample import COMMANDS as SAMPLE_COMMANDS
from dit_grid.orchestrator.commands.sentinel import COMMANDS as SENTINEL_COMMANDS
from dit_grid.orchestrator.commands.serve import COMMANDS as SERVE_COMMANDS
from dit_grid.orchestrator.commands.simulate import COMMANDS as SIMULATE_COMMANDS
from dit_grid.orchestrator.commands.spec import spec_group
from dit_grid.orchestrator.commands.status import COMMANDS as STATUS_COMMANDS
from dit_grid.orchestrator.commands.store import store_group
from dit_grid.orchestrator.commands.suggest import COMMANDS as SUGGEST_COMMANDS
from dit_grid.orchestrator.commands.track import COMMANDS as TRACK_COMMANDS
from dit_grid.orchestrator.commands.trainer_client import COMMANDS as TRAINER_COMMANDS
from dit_grid.orchestrator.control.errors import ClusterLostError

DISK_SAYS_NO = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
"""What a disk answers that is full or may not be written: one line, as for every mistake of a request."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="dit-grid")
def cli() -> None:
    """Scaling-law experiments for diffusion transformers.

    \b
    dit-grid launch experiments/digits.yaml    twelve models trained here, in minutes
    dit-grid status                            how they stand, from another terminal
    dit-grid analyze                           the fitted law and the figures
    """


cli.add_command(spec_group)
cli.add_command(store_group)
for commands in (
    INIT_COMMANDS,
    PLAN_COMMANDS,
    LAUNCH_COMMANDS,
    STATUS_COMMANDS,
    RESULTS_COMMANDS,
    DOCTOR_COMMANDS,
    BENCH_COMMANDS,
    CLUSTER_COMMANDS,
    COMPARE_COMMANDS,
    CONTROL_COMMANDS,
    COORDINATES_COMMANDS,
    ENCODE_COMMANDS,
    EVALUATE_COMMANDS,
    FORECAST_COMMANDS,
    SUGGEST_COMMANDS,
    IMPORT_COMMANDS,
    REPORT_COMMANDS,
    SAMPLE_COMMANDS,
    SENTINEL_COMMANDS,
    SERVE_COMMANDS,
    SIMULATE_COMMANDS,
    TRACK_COMMANDS,
    TRAINER_COMMANDS,
):
    for command in commands:
        cli.add_command(command)


def main() -> None:
    """Run the command line; a mistake of the user's is one line (or one a mistake) and exit status 2."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the driver fits twelve points; threads only cost start-up
    try:
        cli(standalone_mode=False)  # which would turn Ctrl-C into "Aborted!" and status 1
        sys.exit(DONE)
    except click.Abort:
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(DONE)
    except ClusterLostError as error:
        click.echo(str(error), err=True)
        sys.stdout.flush()
        os._exit(SOME_FAILED)  # seen: Ray's threads crash at Python's usual end once their raylet is dead
    except ValueError as error:
        if not _is_a_users_mistake(error):
            raise
        click.echo(str(error), err=True)
        sys.exit(WRONG_REQUEST)
    except OSError as error:  # the store has words of its own; this is a figure, a report, a table
        if error.errno not in DISK_SAYS_NO:
            raise
        click.echo(f"cannot write {error.filename or 'a file'}: {error.strerror}", err=True)
        sys.exit(WRONG_REQUEST)


def _is_a_users_mistake(error: ValueError) -> bool:
    """Every ValueError of a class of this project is one: its message is written for the user."""
    return type(error).__module__.startswith("dit_grid.")
