"""Wrong credentials and wrong buckets: one clear line each, at once, and exit status 2 from the command line."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from dit_grid.experiments.data.dataset import DataError
from dit_grid.experiments.data.remote import exists
from dit_grid.experiments.store import StorageError, Store
from dit_grid.experiments.store.credentials import accepted_credentials

ENVIRONMENT = ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS")


@pytest.fixture
def outside(monkeypatch, tmp_path):
    """No emulator, and no credentials of whoever runs the tests."""
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


@pytest.mark.parametrize("content", [None, "", "{broken", "{}", "[1]", '{"type": "service_account"}'])
def test_a_missing_or_broken_key_file_is_named(outside, monkeypatch, tmp_path, content):
    key = tmp_path / "key.json"
    if content is not None:
        key.write_text(content)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    with pytest.raises(StorageError, match=r"no credentials .*key\.json.*GOOGLE_APPLICATION_CREDENTIALS") as error:
        Store.open("gs://bucket/store")
    assert "\n" not in str(error.value)


def test_weights_and_samples_in_a_bucket_are_asked_for_with_the_same_credentials(outside, monkeypatch, tmp_path):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    with pytest.raises(DataError, match=r"^gs://bucket/vae\.npz: no credentials .*GOOGLE_APPLICATION_CREDENTIALS"):
        exists("gs://bucket/vae.npz")


def test_without_any_credentials_a_public_bucket_can_still_be_read(outside):
    assert accepted_credentials() is None


def test_where_nothing_answers_that_is_said_within_seconds(outside, monkeypatch):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(StorageError, match=r"127\.0\.0\.1:\d+ does not answer .*online"):
            Store.open("gs://bucket/store")
        assert time.monotonic() - began < 10


class _Refusing(BaseHTTPRequestHandler):
    """A token endpoint that knows nobody."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = json.dumps({"error": "invalid_grant", "error_description": "account not found"}).encode()
        self.send_response(400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


def test_a_refused_account_is_told_at_once_and_not_after_half_a_minute_of_tries(outside, monkeypatch, tmp_path):
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with HTTPServer(("127.0.0.1", 0), _Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        key = tmp_path / "key.json"
        key.write_text(
            json.dumps(
                {
                    "type": "service_account",
                    "client_email": "gone@project.iam.gserviceaccount.com",
                    "private_key": private.decode(),
                    "token_uri": f"http://127.0.0.1:{server.server_port}/token",
                }
            )
        )
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
        began = time.monotonic()
        with pytest.raises(StorageError, match=r"Google refuses the credentials in .*invalid_grant.*gcloud auth"):
            Store.open("gs://bucket/store")
        assert time.monotonic() - began < 10
        server.shutdown()


@pytest.mark.parametrize(
    ("where", "rules", "says"),
    [
        ("gs://nowhere/store", [], "there is no bucket 'nowhere'"),
        ("gs://bucket/store", [{"kind": "401"}], "not signed in to Google Cloud"),
    ],
)
def test_a_command_ends_with_one_line_and_status_2(emulator, where, rules, says):
    emulator.fail(*rules)
    command = [sys.executable, "-m", "dit_grid.orchestrator", "status", where]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, env=dict(os.environ), check=False)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert says in ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
