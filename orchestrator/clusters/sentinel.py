"""A process on each Google Cloud host that hears of its preemption and tells Ray, which nobody else does.

It hangs on the metadata server, drains its node with Ray when the notice comes, and the driver then asks the gang for a
checkpoint. What is done about a draining slice is the scheduler core's to decide.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

METADATA = "http://metadata.google.internal/computeMetadata/v1/instance"
"""https://cloud.google.com/compute/docs/metadata/querying-metadata: hanging GETs end on a change or after a timeout."""

HANG_S = 60
AGAIN_S = 1.0
"""How soon a metadata server that failed is asked again; the notice is 30 s long."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Notice:
    """A sign that this host goes away: the metadata entry, the value that says so, and how long is left then."""

    entry: str
    means_end: Callable[[str], bool]
    seconds: float


NOTICES = (
    # A Spot or preemptible VM gets 30 s (https://cloud.google.com/compute/docs/instances/spot).
    Notice("preempted", lambda value: value == "TRUE", 30.0),
    # Told 60 s before a VM that cannot migrate, as a TPU VM, is stopped for maintenance.
    Notice("maintenance-event", lambda value: value.startswith("TERMINATE"), 60.0),
)


def stand_guard(
    drain: Callable[[str, float], None], metadata: str = METADATA, stop: threading.Event | None = None
) -> str | None:
    """Return which notice came, once it has been passed to `drain` with the seconds that are left.

    Returns None when `stop` is set before one came. A `drain` that fails is tried again until those seconds are over.
    """
    stop, found = stop or threading.Event(), list[Notice]()
    heard = threading.Event()

    def listen(notice: Notice) -> None:
        if _comes(notice, metadata, lambda: stop.is_set() or heard.is_set()):
            found.append(notice)
            heard.set()

    for notice in NOTICES:
        threading.Thread(target=listen, args=(notice,), name=notice.entry, daemon=True).start()
    while not heard.wait(0.1):
        if stop.is_set():
            return None
    _drain(drain, found[0])
    return found[0].entry


def _comes(notice: Notice, metadata: str, over: Callable[[], bool]) -> bool:
    """Wait for the notice; the first request does not hang, so a change before it is not missed."""
    seen = ""
    while not over():
        query = {"wait_for_change": "true", "timeout_sec": HANG_S, "last_etag": seen} if seen else {}
        request = Request(f"{metadata}/{notice.entry}?{urlencode(query)}", headers={"Metadata-Flavor": "Google"})
        try:
            with urlopen(request, timeout=HANG_S + 10) as answer:
                value, seen = answer.read().decode().strip(), answer.headers.get("ETag", "")
        except HTTPError as error:
            if error.code == 404:  # this kind of host has no such entry
                return False
            time.sleep(AGAIN_S)
            continue
        except (URLError, OSError) as error:
            log.warning("%s does not answer: %s", metadata, error)
            time.sleep(AGAIN_S)
            continue
        if notice.means_end(value):
            return True
        if not seen:
            time.sleep(AGAIN_S)
    return False


def _drain(drain: Callable[[str, float], None], notice: Notice) -> None:
    """Pass the notice on; one failure of Ray's must not cost the checkpoint."""
    ends = time.monotonic() + notice.seconds
    while (left := ends - time.monotonic()) > 0:
        try:
            drain(notice.entry, left)
        except Exception as error:  # whatever Ray's client raises
            log.warning("drain failed, trying again: %s", error)
            time.sleep(AGAIN_S)
        else:
            return


def drain_with_ray(address: str, node_id: str) -> Callable[[str, float], None]:
    """Return the call that drains this node of the Ray cluster at `address`, its GCS's host:port, as preempted."""

    def drain(entry: str, seconds: float) -> None:
        from ray.core.generated import autoscaler_pb2

        accepted, why = _gcs(address).drain_node(
            node_id,
            autoscaler_pb2.DRAIN_NODE_REASON_PREEMPTION,  # type: ignore[attr-defined]
            f"metadata server: {entry}",
            int((time.time() + seconds) * 1000),
        )
        if not accepted:
            raise RuntimeError(f"Ray did not accept the drain of {node_id}: {why}")

    return drain


def this_node(address: str, ip: str) -> str | None:
    """Return the id of the living Ray node with this IP address, in hexadecimal; None if there is none yet."""
    nodes = _gcs(address).get_all_node_info().values()
    alive = [node for node in nodes if node.node_manager_address == ip and node.state == 0]
    return alive[0].node_id.hex() if len(alive) == 1 else None


def _gcs(address: str) -> Any:
    """Return a client of Ray's control store; `ray drain-node` does the same, but takes seconds of thirty to start."""
    from ray import _raylet

    return vars(_raylet)["GcsClient"](address=address)
