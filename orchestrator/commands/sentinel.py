"""The command that runs the preemption sentinel on a host; what it does is in `clusters.sentinel`."""

import logging

import click


@click.command()
@click.option("--address", default="auto", show_default=True, help="The Ray cluster: host:port of its head, or auto.")
@click.option("--node-id", help="The Ray node to drain, if this host has several.")
@click.option("--metadata", help="Another metadata server, for tests.", hidden=True)
def sentinel(address: str, node_id: str | None, metadata: str | None) -> None:
    """Watch for this host's preemption and drain its Ray node, so that its run writes a checkpoint in time.

    Run one on every Google Cloud host after `ray start`; it ends when the notice came.

    \b
    nohup dit-grid sentinel > sentinel.log 2>&1 &
    """
    from dit_grid.orchestrator.clusters.sentinel import METADATA, drain_with_ray, stand_guard

    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    head, node = _joined(address, node_id)
    click.echo(f"watching {metadata or METADATA} for node {node}")
    notice = stand_guard(drain_with_ray(head, node), metadata or METADATA)
    click.echo(f"{notice}: node {node} is draining")


def _joined(address: str, node_id: str | None) -> tuple[str, str]:
    """Return the cluster's GCS address and this host's node; RequestError if either is not there."""
    from ray._private import services

    from dit_grid.orchestrator.clusters.sentinel import this_node
    from dit_grid.orchestrator.control.errors import RequestError

    try:
        head = services.canonicalize_bootstrap_address_or_die(address)
        node = node_id or this_node(head, services.get_node_ip_address(head))
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise RequestError(
            f"--address {address}: no Ray answers ({error}); run `ray start` on this host first"
        ) from None
    if node is None:
        raise RequestError(f"{head} does not have exactly one node on this host; name it with --node-id")
    return head, node


COMMANDS = (sentinel,)
