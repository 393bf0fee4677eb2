"""The set-up commands of a cluster's hosts, run for real where nothing is: what a first, billed host would do.

    python benchmarks/cluster_setup.py                # head and slice, in an empty home: 1 to 5 minutes, 2 GB
    python benchmarks/cluster_setup.py --machine      # that of one rented machine (with JAX for CUDA: 5 GB)
    debootstrap --variant=minbase --include=ca-certificates jammy ROOT    # or bookworm, bullseye; as root
    python benchmarks/cluster_setup.py --root ROOT    # in that bare tree, apt included

Writes the files as `dit-grid cluster` does, runs their commands with nothing of this environment but the network's
settings (and, in a home, uv's cache), and asks the new environment for Ray, JAX and this program. A tree has no `sudo`,
as a rented container's root has none. Exit status 1 where a command fails.
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
    parser.add_argument("--root", type=Path, help="a bare system's tree to change into; needs root")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cluster-setup-") as folder:
        files = Path(folder) / "files"
        kind, slices = ("machine", {}) if arguments.machine else ("gcp-v3", {"v3-8": 1})
        wheel = write_cluster(Cluster(kind, slices, project="none", zone="europe-west4-a"), files)[0]
        inside = arguments.root or Path("/")
        place = in_tree(inside, files) if arguments.root else files
        home = Path("/root") if arguments.root else Path(folder) / "home"
        (inside / home.relative_to("/")).mkdir(exist_ok=True)
        asked = [f"~/dit-grid/bin/python -c '{SAYS}'", "~/dit-grid/bin/dit-grid --version"]
        for command in [*commands(files, place, wheel, inside), *asked]:
            print(f"+ {command}", flush=True)
            shell = ["bash", "-c", f"cd ~ && {command}"]
            called = ["chroot", str(inside), *shell] if arguments.root else shell
            done = subprocess.run(called, env=environment(home, bool(arguments.root)), timeout=1200)
            if done.returncode:
                print(f"exit status {done.returncode}", file=sys.stderr)
                return 1
    return 0


def environment(home: Path, bare: bool) -> dict[str, str]:
    """The variables of a fresh login, and those of the network; uv's cache only where the tree is this machine's."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
    cache = {} if bare else {"UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv"))}
    fresh = {"HOME": str(home), "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    return kept | cache | fresh | {"DEBIAN_FRONTEND": "noninteractive"}


def in_tree(root: Path, files: Path) -> Path:
    """Bring files and the network's settings into the tree; return where the files lie there."""
    shutil.copytree(files, root / "tmp" / "files", dirs_exist_ok=True)
    named = [os.environ[name] for name in ("PIP_CERT", "SSL_CERT_FILE") if name in os.environ]
    for setting in ["/etc/resolv.conf", "/etc/pip.conf", "/etc/uv/uv.toml", *named]:
        if Path(setting).is_file():
            (root / setting[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(setting, root / setting[1:])
    return Path("/tmp/files")


def commands(files: Path, place: Path, wheel: Path, root: Path) -> list[str]:
    """The commands in order, with the wheel where the launcher would have put it."""
    if (files / "setup.sh").is_file():
        return [f"bash {place / 'setup.sh'}"]
    config = yaml.safe_load((files / "cluster.yaml").read_text())
    for mounted in config["file_mounts"]:
        (root / mounted[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(wheel, root / mounted[1:])
    return ["touch ~/.bashrc && echo >> ~/.bashrc", *config["setup_commands"], *config["worker_setup_commands"]]


if __name__ == "__main__":
    sys.exit(main())
