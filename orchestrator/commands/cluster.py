"""The command that writes the files for a cluster with TPU slices; what they hold is in `clusters.files`."""

from pathlib import Path

import click

from dit_grid.orchestrator.commands.options import JSON

KINDS = ("gcp-v3", "gcp-v3-preemptible", "kuberay-v3", "machine")

NEXT = {
    "gcp": "ray up {folder}/cluster.yaml",
    "kuberay": "docker build -t {image} {folder} && docker push {image} && kubectl apply -f {folder}/cluster.yaml",
    "machine": "copy {folder} to the machine, and there: bash {folder}/setup.sh",
}


@click.command()
@click.argument("what", metavar="SPEC|KIND")
@click.option("--kind", type=click.Choice(KINDS), help="With a SPEC; else by its plan.billing on Google Cloud.")
@click.option("--slice", "slice_type", help="With a KIND: the type of every slice [default: v3-32].")
@click.option("--slices", type=click.IntRange(1), help="With a KIND: how many slices [default: 1].")
@click.option("--project", default="", help="The Google Cloud project.")
@click.option("--zone", default="", help="The zone, e.g. europe-west4-a.")
@click.option("--image", default="", help="Where the image for KubeRay is pushed to.")
@click.option("--name", default="dit-grid", show_default=True, help="The cluster's name.")
@click.option("-o", "--out", type=click.Path(file_okay=False), default="cluster", show_default=True)
@JSON
def cluster(
    what: str, kind: str | None, slice_type: str | None, slices: int | None, project: str, zone: str, image: str,
    name: str, out: str, as_json: bool,
) -> None:  # fmt: skip
    """Write the files that bring up what a SPEC runs on, or slices of one type: YAML, and the wheel of this program.

    \b
    dit-grid cluster experiments/grid.yaml --project my-project --zone europe-west4-a
    dit-grid cluster experiments/grid.yaml --kind kuberay-v3 --image europe-docker.pkg.dev/my-project/images/dit-grid
    dit-grid cluster gcp-v3-preemptible --project my-project --zone europe-west4-a --slice v3-32 --slices 4
    dit-grid cluster machine

    KIND is gcp-v3 (on demand), gcp-v3-preemptible, kuberay-v3, or machine: one rented machine with GPUs. Of a SPEC
    all slice types get into one file, as many of each as its plan.slices says, else one.
    """
    from dit_grid.orchestrator.clusters.files import Cluster, write_cluster
    from dit_grid.orchestrator.control.errors import RequestError
    from dit_grid.orchestrator.screen.tables import print_json

    if what in KINDS:
        if kind is not None and kind != what:
            raise RequestError(f"two kinds, {what} and --kind {kind}; give one, or a spec and --kind")
        kind, wanted = what, {} if what == "machine" else {slice_type or "v3-32": slices or 1}
    else:
        if slice_type or slices:
            raise RequestError(
                f"--slice and --slices go with a kind ({', '.join(KINDS)}); {what} says its own in plan.slices"
            )
        kind, wanted = _of_spec(what, kind)
    written = write_cluster(Cluster(kind, wanted, project, zone, image, name), Path(out))
    if as_json:
        print_json({"written": list(map(str, written))})
        return
    for path in written:
        click.echo(f"wrote {path}")
    click.echo(f"next: {NEXT[kind.split('-')[0]].format(folder=out, image=image)}")


def _of_spec(file: str, kind: str | None) -> tuple[str, dict[str, int]]:
    """Return the kind and how many slices of each type the spec in the file asks for."""
    from dit_grid.orchestrator.commands.asked_spec import asked_spec
    from dit_grid.orchestrator.control.errors import RequestError
    from dit_grid.orchestrator.simulation.of_spec import slices_needed

    if not Path(file).is_file():
        raise RequestError(f"{file}: no such spec, and no kind; kinds are {', '.join(KINDS)}")
    spec = asked_spec(file, ())
    on_slices = slices_needed(spec)
    by_billing = "gcp-v3-preemptible" if spec.plan.billing == "preemptible" else "gcp-v3"
    kind = kind or (by_billing if on_slices else "machine")
    return kind, {} if kind == "machine" else on_slices


COMMANDS = (cluster,)
