"""Files that bring up a Ray cluster with TPU v3 slices, or one rented machine, from the templates in `clusters/`.

Nothing is started or asked for here: Ray's cluster launcher or Kubernetes reads what this writes.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata, resources
from pathlib import Path
from string import Template

from dit_grid.orchestrator.control.errors import RequestError

KINDS = {
    "gcp-v3": {"cluster.yaml": "gcp-v3.yaml"},
    "gcp-v3-preemptible": {"cluster.yaml": "gcp-v3.yaml"},
    "kuberay-v3": {"cluster.yaml": "kuberay-v3.yaml", "Dockerfile": "Dockerfile"},
    "machine": {"setup.sh": "machine.sh"},
}
"""Kind -> the files that are written, each from its template."""

UV = "0.13.9"
"""The version of uv that brings interpreter and packages to hosts; raise it on purpose."""

APT = "$(command -v sudo) apt-get"
"""Rented machines are often a container's root, which has no sudo and needs none."""

INSTALLER = f"python3 -m venv ~/uv || ({APT} update -q && {APT} install -y -q python3-venv && python3 -m venv ~/uv)"
"""Brings the environment that uv is put into, with the system's own python3 of any age."""

INTERPRETER = (
    "test -x ~/dit-grid/bin/python || ~/uv/bin/uv venv -q --python {python} ~/dit-grid 2> ~/uv/venv.log"
    f" || ({APT} update -q && {APT} install -y -q python{{python}}"
    " && ~/uv/bin/uv venv -q --python {python} ~/dit-grid)"
    ' || (echo "no Python {python} on $(hostname): the system has no package of it, and uv cannot fetch one from'
    " github.com (~/uv/venv.log); take an image that has it, let hosts reach GitHub, or set"
    ' UV_PYTHON_INSTALL_MIRROR" >&2; false)'
)
"""Brings the interpreter: one that is there, uv's own, or the system's package; else says so in a line, and fails."""

TOPOLOGIES = {
    "v3-8": "2x2", "v3-32": "4x4", "v3-64": "4x8", "v3-128": "8x8", "v3-256": "8x16", "v3-512": "16x16",
    "v3-1024": "16x32", "v3-2048": "32x32",
}  # fmt: skip
"""Slice types of TPU v3 and their chips, by Google Cloud's table; a host has 4 chips."""

CHIPS_A_HOST = 4


@dataclass(frozen=True)
class Cluster:
    """What a person says of the cluster: its kind and name, how many slices of each type; where, for the launcher; the
    image, for KubeRay."""

    kind: str
    slices: Mapping[str, int]
    project: str = ""
    zone: str = ""
    image: str = ""
    name: str = "dit-grid"


def cluster_files(cluster: Cluster, wheel: str) -> dict[str, str]:
    """Return the files by name, to lie beside the wheel with that name. Raises RequestError for what cannot be."""
    _check(cluster)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"  # Ray wants it the same everywhere
    values = asdict(cluster) | {
        "region": cluster.zone.rpartition("-")[0],
        "total": sum(cluster.slices.values()),
        "installer": INSTALLER,
        "interpreter": INTERPRETER.format(python=python),
        "uv": UV,
        "ray": metadata.version("ray"),
        "jax": metadata.version("jax"),
        "wheel": wheel,
    }
    types = [_slice_type(cluster, name, count) for name, count in cluster.slices.items()]
    values["slice_types"] = "".join(types).rstrip("\n")
    return {name: _template(source).substitute(values) for name, source in KINDS[cluster.kind].items()}


def _slice_type(cluster: Cluster, name: str, count: int) -> str:
    """The part of the file that is about slices of one type."""
    rows, columns = map(int, TOPOLOGIES[name].split("x"))
    values = {
        "slice": name,
        "slices": count,
        "preemptible": str(cluster.kind != "gcp-v3").lower(),
        "hosts": rows * columns // CHIPS_A_HOST,
        "topology": TOPOLOGIES[name],
        "accelerator": "tpu-v3-device" if name == "v3-8" else "tpu-v3-slice",
        "image": cluster.image,
    }
    template = "kuberay-v3-slice.yaml" if cluster.kind == "kuberay-v3" else "gcp-v3-slice.yaml"
    return _template(template).substitute(values)


def _template(name: str) -> Template:
    return Template((resources.files("dit_grid.orchestrator") / "clusters" / name).read_text())


def write_cluster(cluster: Cluster, folder: Path) -> list[Path]:
    """Write the files and this program's wheel into the folder and return them; files that are there are replaced."""
    from dit_grid.orchestrator.clusters.wheel import build_wheel

    _check(cluster)
    folder.mkdir(parents=True, exist_ok=True)
    wheel = build_wheel(folder).path
    written = [wheel]
    for name, text in cluster_files(cluster, wheel.name).items():
        written.append(folder / name)
        written[-1].write_text(text)
    return written


def _check(cluster: Cluster) -> None:
    for name in cluster.slices:
        if name not in TOPOLOGIES:
            raise RequestError(f"slice {name}: no type of TPU v3; these files are for {', '.join(TOPOLOGIES)}")
    if not cluster.slices and cluster.kind != "machine":
        raise RequestError(f"{cluster.kind}: no run of the spec is on a TPU slice; for one machine: --kind machine")
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?", cluster.name):
        raise RequestError(f"--name {cluster.name}: use up to 40 small letters, digits and '-', a letter first")
    if cluster.kind == "kuberay-v3":
        needed = {"--image": cluster.image}
    elif cluster.kind == "machine":
        needed = {}
    else:
        needed = {"--project": cluster.project, "--zone": cluster.zone}
    missing = [option for option, value in needed.items() if not value]
    if missing:
        raise RequestError(f"{cluster.kind} needs {' and '.join(missing)}")
    if cluster.zone and not re.fullmatch(r"[a-z]+-[a-z]+\d+-[a-z]", cluster.zone):
        raise RequestError(f"--zone {cluster.zone}: a zone is written like europe-west4-a")
