"""The command that writes the files for a cluster with TPU slices; what they hold is in `clusters.files`."""

from pathlib import Path

import click

from dit_grid.orchestrator.commands.options import JSON

NEXT = {
    "gcp": "ray up {folder}/cluster.yaml",
    "kuberay": "docker build -t {image} {folder} && docker push {image} && kubectl apply -f {folder}/cluster.yaml",
}


@click.command()
@click.argument("kind", type=click.Choice(["gcp-v3", "gcp-v3-preemptible", "kuberay-v3"]))
@click.option("--slice", "slice_type", default="v3-32", show_default=True, help="The type of every slice.")
@click.option("--slices", type=click.IntRange(1), default=1, show_default=True, help="How many slices.")
@click.option("--project", default="", help="The Google Cloud project.")
@click.option("--zone", default="", help="The zone, e.g. europe-west4-a.")
@click.option("--image", default="", help="Where the image for KubeRay is pushed to.")
@click.option("--name", default="dit-grid", show_default=True, help="The cluster's name.")
@click.option("-o", "--out", type=click.Path(file_okay=False), default="cluster", show_default=True)
@JSON
def cluster(
    kind: str, slice_type: str, slices: int, project: str, zone: str, image: str, name: str, out: str, as_json: bool
) -> None:  # fmt: skip
    """Write the files that bring up a Ray cluster with TPU v3 slices: YAML, and the wheel of this program.

    \b
    dit-grid cluster gcp-v3-preemptible --project my-project --zone europe-west4-a --slice v3-32 --slices 4
    dit-grid cluster kuberay-v3 --image europe-docker.pkg.dev/my-project/images/dit-grid --slice v3-32 --slices 4
    """
    from dit_grid.orchestrator.clusters.files import Cluster, write_cluster
    from dit_grid.orchestrator.screen.tables import print_json

    wanted = Cluster(kind, slice_type, slices, project, zone, image, name)
    written = write_cluster(wanted, Path(out))
    if as_json:
        print_json({"written": list(map(str, written))})
        return
    for path in written:
        click.echo(f"wrote {path}")
    click.echo(f"next: {NEXT[kind.split('-')[0]].format(folder=out, image=image)}")


COMMANDS = (cluster,)
