"""A small Google Cloud Storage over HTTP for tests: honours generation preconditions, and fails on request.

Run as a program, `python gcs_emulator.py BUCKET…`; it prints its address and serves until its standard input closes.
Set STORAGE_EMULATOR_HOST to the address. `POST /_faults` with a JSON list of rules makes requests fail:

    {"method": "POST", "match": "train/", "kind": "503", "share": 0.2, "times": 5, "seconds": 1.0}

`kind` is a status such as 429 or 503, `lost` (carried out, then the connection is closed without an answer), `hang`
(carried out, answered only after `seconds`), `cut` (closed in mid-upload, not carried out) or `slow` (answered after
`seconds`). `GET /_count` tells how often each kind struck. What the store does not use is not here: no XML, no ACLs.
"""

import base64
import hashlib
import itertools
import json
import random
import re
import sys
import threading
import time
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


class PreconditionError(Exception):
    """The generation precondition does not hold."""


class Bucket:
    """Objects by name: (bytes, generation, time)."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, int, str]] = {}
        self.lock = threading.Lock()
        self.generations = itertools.count(1)

    def insert(self, name: str, data: bytes, generation: str | None) -> dict:
        with self.lock:
            there = self.objects.get(name)
            if generation is not None and int(generation) != (there[1] if there else 0):
                raise PreconditionError
            self.objects[name] = (data, next(self.generations), datetime.now(UTC).isoformat().replace("+00:00", "Z"))
        return self.describe(name)

    def describe(self, name: str) -> dict:
        data, generation, when = self.objects[name]
        digest = base64.b64encode(hashlib.md5(data).digest()).decode()
        described = {"name": name, "size": str(len(data)), "generation": str(generation), "md5Hash": digest}
        return described | {"updated": when, "timeCreated": when, "metageneration": "1"}

    def page(self, prefix: str, delimiter: str, after: str, limit: int) -> dict:
        with self.lock:
            names = sorted(name for name in self.objects if name.startswith(prefix) and name > after)
            inside = [n for n in names if not delimiter or delimiter not in n[len(prefix) :]]
            folders = {prefix + n[len(prefix) :].split(delimiter)[0] + delimiter for n in names if n not in set(inside)}
            answer: dict = {"items": [self.describe(n) for n in inside[:limit]], "prefixes": sorted(folders)}
        if len(inside) > limit:
            answer["nextPageToken"] = inside[limit - 1]
        return answer


class Faults:
    """Which requests fail, and a count of those that did."""

    def __init__(self) -> None:
        self.rules: list[dict] = []
        self.count: dict[str, int] = {}
        self.random = random.Random(0)
        self.lock = threading.Lock()

    def strike(self, method: str, target: str) -> dict:
        with self.lock:
            for rule in self.rules:
                fits = rule.get("method", method) == method and rule.get("match", "") in target
                if fits and rule.get("times", 1) > 0 and self.random.random() < rule.get("share", 1.0):
                    rule["times"] = rule.get("times", sys.maxsize) - 1
                    self.count[rule["kind"]] = self.count.get(rule["kind"], 0) + 1
                    return rule
        return {"kind": ""}


class Server(ThreadingHTTPServer):
    """The emulator's state; the default backlog of 5 connections would make clients retry."""

    request_queue_size = 256
    daemon_threads = True

    def __init__(self, buckets: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.buckets = {name: Bucket() for name in buckets}
        self.faults = Faults()
        self.sessions: dict[str, tuple[Bucket, str, str | None, bytearray]] = {}

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that were killed or hung up; what else went wrong is told."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    """One connection. Requests outside the few that are known answer 501, so that a test cannot pass by luck."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: with it, each answer waits 40 ms for the client
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.handle_request()

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def handle_request(self) -> None:
        url = urlsplit(self.path)
        self.query = {key: values[0] for key, values in parse_qs(url.query).items()}
        length = int(self.headers.get("Content-Length", 0))
        if url.path.startswith("/_"):
            return self.control(url.path, self.rfile.read(length))
        # The object's name is in the body of a multipart upload, so the body counts as part of the target.
        start = self.rfile.read(min(length, 512))
        fault = self.server.faults.strike(self.command, unquote(self.path) + start.decode(errors="replace"))
        if fault["kind"] == "cut":
            return self.hang_up()
        body = start + self.rfile.read(length - len(start))
        if fault["kind"].isdigit():
            return self.answer(int(fault["kind"]), {"error": {"message": "asked to fail", "code": int(fault["kind"])}})
        if fault["kind"] == "slow":
            time.sleep(fault["seconds"])
        status, answer, headers = self.carry_out(url.path, body)
        if fault["kind"] == "lost":
            return self.hang_up()
        if fault["kind"] == "hang":
            time.sleep(fault["seconds"])
        return self.answer(status, answer, headers)

    def hang_up(self) -> None:
        self.close_connection = True
        self.connection.close()

    def control(self, path: str, body: bytes) -> None:
        if path == "/_faults":
            self.server.faults.rules = json.loads(body)
            self.server.faults.count = {}
        self.answer(200, self.server.faults.count)

    def answer(self, status: int, content: dict | bytes, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        try:
            self.send_response(status)
            for key, value in (headers or {}).items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            self.close_connection = True

    def carry_out(self, path: str, body: bytes) -> tuple[int, dict | bytes, dict[str, str]]:
        found = re.fullmatch(r"/(?:(upload|download)/)?storage/v1/b/([^/]+)/o(?:/(.+))?", path)
        bucket = self.server.buckets.get(unquote(found[2])) if found else None
        if not found:
            return 501, {"error": {"message": f"{self.command} {path} is not emulated", "code": 501}}, {}
        if bucket is None:
            return 404, {"error": {"message": "The specified bucket does not exist.", "code": 404}}, {}
        try:
            if found[1] == "upload":
                return self.upload(bucket, body)
            return self.ask(bucket, unquote(found[3]) if found[3] else None)
        except PreconditionError:
            return 412, {"error": {"message": "a precondition does not hold", "code": 412}}, {}
        except KeyError:
            return 404, {"error": {"message": "No such object", "code": 404}}, {}

    def ask(self, bucket: Bucket, name: str | None) -> tuple[int, dict | bytes, dict[str, str]]:
        if name is None:
            get = self.query.get
            page = bucket.page(
                get("prefix", ""), get("delimiter", ""), get("pageToken", ""), int(get("maxResults", 1000))
            )
            return 200, page, {}
        if self.command == "DELETE":
            del bucket.objects[name]
            return 204, b"", {}
        if self.query.get("alt") != "media":
            return 200, bucket.describe(name), {}
        data, there, _ = bucket.objects[name]
        if self.query.get("ifGenerationNotMatch") == str(there):
            return 304, b"", {}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        generation = {"x-goog-generation": str(there)}
        if not wanted:
            return 200, data, generation
        first, last = int(wanted[1]), min(int(wanted[2] or len(data) - 1), len(data) - 1)
        return 206, data[first : last + 1], {"Content-Range": f"bytes {first}-{last}/{len(data)}", **generation}

    def upload(self, bucket: Bucket, body: bytes) -> tuple[int, dict | bytes, dict[str, str]]:
        generation = self.query.get("ifGenerationMatch")
        if self.query.get("uploadType") == "multipart":
            boundary = re.search(r'boundary="?([^";]+)', self.headers["Content-Type"])
            parts = body.split(b"--" + boundary[1].encode()) if boundary else []
            described, data = (re.split(rb"\r?\n\r?\n", part, maxsplit=1)[1] for part in parts[1:3])
            end = -2 if data.endswith(b"\r\n") else -1
            return 200, bucket.insert(json.loads(described)["name"], data[:end], generation), {}
        if self.query.get("uploadType") == "media":
            return 200, bucket.insert(self.query["name"], body, generation), {}
        if "upload_id" not in self.query:
            session = f"s{len(self.server.sessions)}"
            name = self.query.get("name") or json.loads(body)["name"]
            self.server.sessions[session] = (bucket, name, generation, bytearray())
            address = f"http://{self.headers['Host']}{self.path}&upload_id={session}"
            return 200, {}, {"Location": address}
        if self.command == "DELETE":
            del self.server.sessions[self.query["upload_id"]]
            return 499, b"", {}
        bucket, name, generation, held = self.server.sessions[self.query["upload_id"]]
        held += body
        if self.headers.get("Content-Range", "").endswith("/*"):
            return 308, b"", {"Range": f"bytes=0-{len(held) - 1}"}
        total = int(self.headers["Content-Range"].rpartition("/")[2])
        if len(held) < total:
            return 308, b"", {"Range": f"bytes=0-{len(held) - 1}"}
        return 200, bucket.insert(name, bytes(held), generation), {}


def main() -> None:
    server = Server(sys.argv[1:])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
