"""The set-up commands of a cluster's hosts, run for real in an empty home: what a first, billed host would do.

    python benchmarks/cluster_setup.py            # the head's and a slice's environment: 1 to 5 minutes, 2 GB
    python benchmarks/cluster_setup.py --machine  # that of one rented machine (with JAX for CUDA: 5 GB)

Writes the files as `dit-grid cluster` does, then runs their commands with nothing of this environment but the network's
settings and uv's cache, and asks the new environment for Ray, JAX and this program. `sudo` and apt are left out: that
an image has python3 with venv is looked at first. Exit status 1 where a command fails.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from dit_grid.orchestrator.clusters.files import Cluster, write_cluster

KEPT = ("PIP_", "UV_", "HTTP", "HTTPS", "NO_PROXY", "http", "https", "no_proxy", "SSL_")
"""Beginnings of the variables that a package index behind a proxy needs."""

SAYS = "import ray, jax, sys, dit_grid.orchestrator; print(sys.version.split()[0], ray.__version__, jax.__version__)"


def main() -> int:
    """Run the commands and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machine", action="store_true", help="the script of one rented machine")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cluster-setup-") as folder:
        home, files = Path(folder) / "home", Path(folder) / "files"
        home.mkdir()
        kind, slices = ("machine", {}) if arguments.machine else ("gcp-v3", {"v3-8": 1})
        wheel = write_cluster(Cluster(kind, slices, project="none", zone="europe-west4-a"), files)[0]
        kept = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
        cache = os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv"))
        environment = kept | {"HOME": str(home), "PATH": "/usr/local/bin:/usr/bin:/bin", "UV_CACHE_DIR": cache}
        for command in [
            *commands(files, wheel),
            f"~/dit-grid/bin/python -c '{SAYS}'",
            "~/dit-grid/bin/dit-grid --help",
        ]:
            print(f"+ {command}", flush=True)
            done = subprocess.run(["bash", "-c", command], env=environment, cwd=home, timeout=1200)
            if done.returncode:
                print(f"exit status {done.returncode}", file=sys.stderr)
                return 1
    return 0


def commands(files: Path, wheel: Path) -> list[str]:
    """The commands in order, with the wheel where the launcher would have put it."""
    if (files / "setup.sh").is_file():
        return [f"bash {files / 'setup.sh'}"]
    config = yaml.safe_load((files / "cluster.yaml").read_text())
    for place in config["file_mounts"]:
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(wheel, place)
    return ["touch ~/.bashrc && echo >> ~/.bashrc", *config["setup_commands"], *config["worker_setup_commands"]]


if __name__ == "__main__":
    sys.exit(main())
