"""Files for clusters: accepted by Ray's own schema and by its Google Cloud provider, and whole for Kubernetes."""

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from importlib import metadata, resources
from pathlib import Path

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from dit_grid.orchestrator.clusters.files import INTERPRETER, TOPOLOGIES, UV, Cluster, cluster_files, write_cluster
from dit_grid.orchestrator.commands.cli import cli
from dit_grid.orchestrator.control.errors import RequestError

GCP = {"project": "my-project", "zone": "europe-west4-a"}


def files(kind, **settings):
    where = GCP if kind.startswith("gcp") else {"image": "registry/dit-grid"} if kind == "kuberay-v3" else {}
    wanted = replace(Cluster(kind, {"v3-32": 4}, **where), **settings)
    return cluster_files(wanted, "dit_grid-0.1.0-py3-none-any.whl")


@pytest.mark.parametrize("kind", ["gcp-v3", "gcp-v3-preemptible"])
def test_rays_launcher_takes_the_file(kind):
    config = yaml.safe_load(files(kind)["cluster.yaml"])
    schema = json.loads((resources.files("ray") / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(config, schema)
    slices = config["available_node_types"]["v3-32"]
    assert "acceleratorConfig" not in slices["node_config"]  # the form that Ray refuses for v3
    assert slices["node_config"]["acceleratorType"] == "v3-32"
    assert slices["node_config"]["schedulingConfig"]["preemptible"] is (kind == "gcp-v3-preemptible")
    assert slices["resources"] == {"TPU": 4}
    assert (slices["min_workers"], config["max_workers"]) == (4, 4)
    assert config["provider"]["region"] == "europe-west4"


def test_rays_google_cloud_provider_knows_the_slice():
    pytest.importorskip("googleapiclient")  # Ray's launcher needs it, this program does not
    from ray.autoscaler._private.gcp.config import get_node_type
    from ray.autoscaler._private.gcp.node import GCPNodeType

    config = yaml.safe_load(files("gcp-v3")["cluster.yaml"])
    assert get_node_type(config["available_node_types"]["v3-32"]["node_config"]) is GCPNodeType.TPU
    assert get_node_type(config["available_node_types"]["head"]["node_config"]) is GCPNodeType.COMPUTE


def test_every_host_starts_ray_and_its_sentinel():
    config = yaml.safe_load(files("gcp-v3-preemptible")["cluster.yaml"])
    commands = config["worker_start_ray_commands"]
    assert any("ray start --address=$RAY_HEAD_IP:6379" in command for command in commands)
    assert "dit-grid sentinel" in commands[-1]
    assert commands[-1].endswith("&")


@pytest.mark.parametrize(("kind", "hosts"), [("v3-8", 1), ("v3-32", 4), ("v3-256", 32), ("v3-2048", 256)])
def test_kuberay_gets_a_pod_for_each_host_with_all_its_chips(kind, hosts):
    from dit_grid.orchestrator.backends.ray.nodes import chips_of

    manifest = yaml.safe_load(files("kuberay-v3", slices={kind: 4})["cluster.yaml"])
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayCluster")
    assert manifest["spec"]["rayVersion"] == metadata.version("ray")
    (group,) = manifest["spec"]["workerGroupSpecs"]
    assert group["numOfHosts"] == hosts
    assert group["replicas"] == group["minReplicas"] == group["maxReplicas"] == 4
    pod = group["template"]["spec"]
    assert pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"] == TOPOLOGIES[kind]
    (container,) = pod["containers"]
    chips = int(container["resources"]["limits"]["google.com/tpu"])
    assert container["resources"]["requests"] == container["resources"]["limits"]  # GKE refuses anything else for TPUs
    assert hosts * chips == chips_of(kind)


def test_secrets_come_from_the_environment_only():
    manifest = yaml.safe_load(files("kuberay-v3")["cluster.yaml"])
    for group in (manifest["spec"]["headGroupSpec"], *manifest["spec"]["workerGroupSpecs"]):
        (container,) = group["template"]["spec"]["containers"]
        assert container["envFrom"] == [{"secretRef": {"name": "dit-grid", "optional": True}}]
        assert "env" not in container


def test_what_is_written_holds_the_wheel_that_it_names(tmp_path):
    wheel, config = write_cluster(Cluster("gcp-v3", {"v3-8": 1}, **GCP), tmp_path)
    assert wheel.name in config.read_text()
    assert "dit_grid/orchestrator/clusters/gcp-v3.yaml" in zipfile.ZipFile(wheel).namelist()
    assert Path(config).name == "cluster.yaml"


@pytest.mark.parametrize(
    ("kind", "settings", "said"),
    [
        ("gcp-v3", {"project": ""}, "gcp-v3 needs --project"),
        ("gcp-v3", {"zone": "europe-west4"}, "written like europe-west4-a"),
        ("gcp-v3", {"slices": {"v3-16": 1}}, "no type of TPU v3; these files are for v3-8, v3-32"),
        ("gcp-v3", {"slices": {}}, "no run of the spec is on a TPU slice"),
        ("kuberay-v3", {"image": ""}, "kuberay-v3 needs --image"),
        ("kuberay-v3", {"name": "My Grid"}, "small letters"),
    ],
)
def test_a_mistake_is_named_with_what_is_allowed(kind, settings, said):
    with pytest.raises(RequestError, match=said):
        files(kind, **settings)


@pytest.mark.parametrize("kind", ["gcp-v3", "kuberay-v3"])
def test_one_file_has_every_slice_type_with_its_count(kind):
    wanted = {"v3-256": 1, "v3-32": 2}
    config = yaml.safe_load(files(kind, slices=wanted)["cluster.yaml"])
    if kind == "gcp-v3":
        jsonschema.validate(config, json.loads((resources.files("ray") / "autoscaler" / "ray-schema.json").read_text()))
        found = {name: one["min_workers"] for name, one in config["available_node_types"].items() if name != "head"}
        assert config["max_workers"] == 3
        assert all(one["node_config"]["acceleratorType"] == name
                   for name, one in config["available_node_types"].items() if name != "head")  # fmt: skip
    else:
        found = {group["groupName"]: group["replicas"] for group in config["spec"]["workerGroupSpecs"]}
    assert found == wanted


def test_a_spec_gets_the_slices_that_it_reserves(tmp_path):
    grid = Path(__file__).parents[3] / "experiments" / "grid.yaml"
    asked = ["cluster", str(grid), "--project", "my-project", "--zone", "europe-west4-a", "-o", str(tmp_path)]
    shown = CliRunner().invoke(cli, asked)
    assert shown.exit_code == 0, shown.output
    config = yaml.safe_load((tmp_path / "cluster.yaml").read_text())
    counts = {name: one["max_workers"] for name, one in config["available_node_types"].items() if name != "head"}
    assert counts == {"v3-256": 1, "v3-128": 1, "v3-64": 2, "v3-32": 2}


@pytest.mark.parametrize("kind", ["gcp-v3", "machine"])
def test_hosts_get_an_interpreter_of_a_pinned_version_and_not_the_images(kind):
    """Ubuntu 22.04 has Python 3.10, and this program needs 3.11."""
    (text,) = files(kind, slices={} if kind == "machine" else {"v3-8": 1}).values()
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"uv venv -q --python {ours} ~/dit-grid" in text
    assert f"uv=={UV}" in text
    assert "python3 -m venv ~/dit-grid" not in text


@pytest.mark.parametrize(("package", "status", "lines"), [(True, 0, 0), (False, 1, 1)])
def test_without_github_the_systems_interpreter_is_taken_or_it_fails_in_a_line(tmp_path, package, status, lines):
    """uv fails as it does without a network until apt has brought one; for real, see benchmarks/cluster_setup.py."""
    (tmp_path / "uv" / "bin").mkdir(parents=True)
    brought = tmp_path / "brought"
    uv = f"test -e {brought} && exit 0; for line in 1 2 3 4 5; do echo 'cause: dns error' >&2; done; exit 2"
    apt = f'test "$1" = update && exit 0; {f"touch {brought}" if package else "exit 100"}'
    for name, script in (("uv/bin/uv", uv), ("apt-get", apt)):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "sudo").symlink_to("/usr/bin/env")
    found = {"HOME": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(["bash", "-c", INTERPRETER.format(python="3.11")], env=found, capture_output=True, text=True)
    assert (done.returncode, len(done.stderr.splitlines())) == (status, lines), done.stderr
    if not package:
        assert "no Python 3.11 on" in done.stderr
        assert "UV_PYTHON_INSTALL_MIRROR" in done.stderr


def test_the_script_of_one_machine_is_a_shell_script():
    subprocess.run(["bash", "-n"], input=files("machine", slices={})["setup.sh"], text=True, check=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gcp-v4"], "gcp-v4: no such spec, and no kind; kinds are gcp-v3"),
        (["gcp-v3", "--kind", "machine"], "two kinds, gcp-v3 and --kind machine"),
        (["experiments/grid.yaml", "--slices", "2"], "experiments/grid.yaml says its own in plan.slices"),
    ],
)
def test_a_request_that_cannot_be_is_one_line(arguments, said):
    asked = CliRunner().invoke(cli, ["cluster", *arguments], standalone_mode=False)
    assert isinstance(asked.exception, RequestError)
    assert said in str(asked.exception)
