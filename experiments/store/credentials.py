"""Whether Google Cloud Storage answers, and who this process is to it, found and tried once at the start.

Making credentials is gcloud's business. gcsfs finds them by itself too, but passes over a broken file in silence, and
asks half a minute long where there is no network, or for a token that it is refused.
"""

import os
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import google.auth
import google.auth.exceptions
import requests
from google.auth.transport.requests import Request

from dit_grid.experiments.store.errors import StorageError

_NAMED = "GOOGLE_APPLICATION_CREDENTIALS"
_SCOPE = "https://www.googleapis.com/auth/devstorage.full_control"
_SIGN_IN = "run `gcloud auth application-default login`"
_HOST = "storage.googleapis.com"
_TRIES, _TRY_EVERY_S, _CONNECT_S = 3, 1.0, 3.0


def gcs_token() -> Any:
    """What gcsfs takes as its `token`: credentials that were accepted, or "anon" where there are none.

    An emulator and public buckets need none. Raises StorageError, at once, for a file named by
    GOOGLE_APPLICATION_CREDENTIALS that is missing or broken, and for credentials that Google refuses; within seconds
    where nothing answers, unless that is the token server: google.auth.exceptions.TransportError.
    """
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    credentials = None if emulator else accepted_credentials()
    _check_answers(emulator or f"https://{_HOST}")
    return credentials or "anon"


def accepted_credentials() -> Any:
    """Credentials with a token, or None where there are none. Raises as `gcs_token` does."""
    with requests.Session() as session:
        request = Request(session)
        credentials = _found(request)
        if credentials is None:
            return None
        try:
            credentials.refresh(request)
        except google.auth.exceptions.RefreshError as error:
            raise StorageError(
                f"Google refuses the credentials{_source()} ({_first_line(error)}); {_SIGN_IN}, or correct them"
            ) from error
    return credentials


def _check_answers(url: str) -> None:
    """A connection and no request; tried again, because a whole attempt of a run may hang on this moment."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    host, port = parts.hostname or _HOST, parts.port or (443 if parts.scheme == "https" else 80)
    for left in reversed(range(_TRIES)):
        try:
            socket.create_connection((host, port), timeout=_CONNECT_S).close()
            return
        except OSError as error:
            if not left:
                raise StorageError(f"{host}:{port} does not answer ({error}); is this machine online?") from error
            time.sleep(_TRY_EVERY_S)


def _found(request: Request) -> Any:
    try:
        return google.auth.default(scopes=[_SCOPE], request=request)[0]
    except google.auth.exceptions.TransportError:
        raise
    # A file of JSON that is no object fails somewhere in google-auth, with whatever Python says there.
    except (google.auth.exceptions.GoogleAuthError, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        if not os.environ.get(_NAMED):
            return None
        raise StorageError(
            f"no credentials for Google Cloud{_source()}: {_first_line(error)}; correct the variable, or unset it and "
            f"{_SIGN_IN}"
        ) from error


def _source() -> str:
    named = os.environ.get(_NAMED)
    return f" in {named!r}, named by {_NAMED}" if named else ""


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
