"""The pages and the stream that a browser may ask for, and who may ask: read only, on this machine or with a token.

Binding a port and running is `serving`.
"""

import asyncio
import hmac
import json
import secrets
from collections.abc import AsyncIterator
from functools import partial
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dit_grid.analysis.live.feed import as_json
from dit_grid.analysis.live.hub import Hub, in_thread

HERE = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})
"""What a browser on this machine calls it. Another name that leads here is somebody else's page (DNS rebinding)."""

SILENCE_S = 15.0
"""After so long without a change a comment is sent, so that a connection that is gone is noticed."""

HEADERS = {
    b"cache-control": b"no-store",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
}


def app(hub: Hub, token: str | None) -> ASGIApp:
    """The application; with a token whoever asks must have it, without one must ask by a name of this machine."""
    routes = [
        Route("/", partial(_page, hub), methods=["GET"]),
        Route("/run", partial(_run, hub), methods=["GET"]),
        Route("/curves", partial(_curves, hub), methods=["GET"]),
        Route("/events", partial(_events, hub), methods=["GET"]),
    ]
    return Guard(Starlette(routes=routes), token)


class Guard:
    """Refuses who may not ask, and adds the headers that every answer has."""

    def __init__(self, inner: ASGIApp, token: str | None) -> None:
        self._inner, self._token = inner, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it with one line."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *HEADERS.items()]
            await send(message)

        refused = self._refused(scope) if scope["type"] == "http" else None
        await (refused or self._inner)(scope, receive, with_headers)

    def _refused(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self._token is None:
            name = headers.get("host", "").lower()
            name = name if name.endswith("]") or name.count(":") > 1 else name.partition(":")[0]
            name = name.rpartition(":")[0] if name.startswith("[") and not name.endswith("]") else name
            known = "open it as http://localhost:PORT or http://127.0.0.1:PORT"
            return None if name in HERE else PlainTextResponse(f"unknown host; {known}\n", 421)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        given = headers.get("authorization", "").removeprefix("Bearer ") or given
        if hmac.compare_digest(given.encode(), self._token.encode()):
            return None
        return PlainTextResponse("wrong or missing token; open the address that dit-grid serve printed\n", 403)


async def _page(hub: Hub, request: Request) -> Response:
    nonce = secrets.token_urlsafe(16)
    text = await hub.page(nonce)
    allowed = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(text, headers={"content-security-policy": allowed})


async def _run(hub: Hub, request: Request) -> Response:
    found = await in_thread(hub.feed.run, request.query_params.get("id", ""))
    return PlainTextResponse("no such run\n", 404) if found is None else JSONResponse(found)


async def _curves(hub: Hub, request: Request) -> Response:
    found = await in_thread(hub.feed.curves, request.query_params.get("key", ""))
    return PlainTextResponse("no such quantity\n", 404) if found is None else JSONResponse(found)


async def _events(hub: Hub, request: Request) -> Response:
    seen = request.headers.get("last-event-id") or request.query_params.get("version", "")
    return StreamingResponse(_stream(hub, seen), media_type="text/event-stream")


async def _stream(hub: Hub, seen: str) -> AsyncIterator[str]:
    """The changes after the version that was seen, then those that come; `reload` where that is not known any more."""
    queue = hub.join()
    try:
        missed = hub.feed.since(seen)
        if missed is None:
            yield "event: reload\ndata: 0\n\n"
            return
        yield ": watching\n\n"
        for change in missed:
            yield _event(change["version"], as_json(change))
        told = {change["version"] for change in missed}
        while True:
            try:
                news = await asyncio.wait_for(queue.get(), SILENCE_S)
            except TimeoutError:
                yield ": here\n\n"
                continue
            if news is None:
                return
            if isinstance(news, str):
                yield f"event: trouble\ndata: {json.dumps(news)}\n\n"
            elif news["version"] not in told:
                yield _event(news["version"], as_json(news))
    finally:
        hub.leave(queue)


def _event(version: str, data: str) -> str:
    return f"id: {version}\nevent: change\ndata: {data}\n\n"
