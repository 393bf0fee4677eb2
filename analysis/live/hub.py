"""Who is looking at the page: each gets every change, and while nobody looks the store is not read.

Reading and reckoning run in threads, one of each kind at a time; the clock is the event loop's.
"""

import asyncio
import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from dit_grid.analysis.live.feed import Change, Feed

LOOK_EVERY_S = 0.5
"""Pause between two looks into the store, or four times what the last one computed: a fifth of a core at most."""

TROUBLE_S = 3.0
"""Pause after a look that failed."""

FIRST_S = 5.0
"""How long the first page after a while waits to be brought up to date; then it shows what it had, and changes come."""

BACKLOG = 256
"""Changes that wait for a page that does not take them; then it has to come again."""

Told = Change | str | None
"""A change; a line about what is wrong; None at the end."""

Work = Callable[[], Change | None]
"""What the feed does with the store: each at most once at a time."""

_Found = TypeVar("_Found")


async def in_thread(work: Callable[..., _Found], *arguments: Any) -> _Found:
    """What the work returns, done in a thread that nobody waits for once the server is told to end.

    The event loop's own threads are waited for, and a law of a thousand runs takes seconds.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Found] = loop.create_future()

    def tell(settle: Callable[[Any], None], what: Any) -> None:
        if not done.done():
            settle(what)

    def run() -> None:
        try:
            settle, what = done.set_result, work(*arguments)
        except BaseException as error:  # told to whoever waits
            settle, what = done.set_exception, error  # type: ignore[assignment]
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, settle, what)

    threading.Thread(target=run, daemon=True).start()
    return await done


def _timed(work: Work) -> tuple[Change | None, float]:
    """What the work returns, and the processor time of it: on a busy machine waiting is no reason to wait longer."""
    began = time.thread_time()
    return work(), time.thread_time() - began


class Hub:
    """The pages that are open, and the loop that tells them what is new."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self._open: set[asyncio.Queue[Told]] = set()
        self._someone, self._work = asyncio.Event(), set[asyncio.Task[None]]()
        self._busy: defaultdict[Work, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._catching_up: asyncio.Task[None] | None = None
        self._closed = False

    async def page(self, nonce: str) -> str:
        """The page; while nobody looked the store was not read, so that is done before it is shown."""
        if not self._open:
            if self._catching_up is None or self._catching_up.done():
                self._catching_up = asyncio.create_task(self._catch_up())
            await asyncio.wait({self._catching_up}, timeout=FIRST_S)
        return await in_thread(self.feed.page, nonce)

    def join(self) -> "asyncio.Queue[Told]":
        """A queue that gets every change from now on."""
        queue: asyncio.Queue[Told] = asyncio.Queue(BACKLOG)
        if self._closed:
            queue.put_nowait(None)
        self._open.add(queue)
        self._someone.set()
        return queue

    def leave(self, queue: "asyncio.Queue[Told]") -> None:
        """Nobody reads this queue any more."""
        self._open.discard(queue)
        if not self._open:
            self._someone.clear()

    def close(self) -> None:
        """End every page's stream at once."""
        self._closed = True
        for task in self._work:
            task.cancel()
        self._tell(None)

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Look into the store, and ask for advice, while this is open."""
        self._work = {asyncio.create_task(work()) for work in (self._look, self._reckon, self._ask)}
        yield
        self.close()

    async def _catch_up(self) -> None:
        await self._one(self.feed.poll)
        if self.feed.is_behind:
            await self._one(self.feed.render)

    async def _look(self) -> None:
        while True:
            await self._someone.wait()
            took = await self._one(self.feed.poll)
            await asyncio.sleep(max(LOOK_EVERY_S, 4 * took))

    async def _reckon(self) -> None:
        while True:
            await self._someone.wait()
            took = await self._one(self.feed.render) if self.feed.is_behind else 0.0
            await asyncio.sleep(max(LOOK_EVERY_S, 4 * took))

    async def _ask(self) -> None:
        """Advice takes longest and changes only with what was measured: asked once at first, then with the law."""
        asked = ""
        while True:
            await self._someone.wait()
            measured = self.feed.measured
            took = await self._one(self.feed.advise) if measured != asked else 0.0
            asked = measured
            await asyncio.sleep(max(LOOK_EVERY_S, 4 * took))

    async def _one(self, work: Work) -> float:
        """Do the work in a thread and tell what comes of it; the seconds of processor time that it took."""
        took = 0.0
        try:
            async with self._busy[work]:
                change, took = await in_thread(_timed, work)
            if change:
                self._tell(change)
        except (ValueError, OSError) as error:  # a store that went away, or is damaged: it may come back
            self._tell(" ".join(str(error).split())[:300])
            await asyncio.sleep(TROUBLE_S)
        return took

    def _tell(self, told: Told) -> None:
        for queue in list(self._open):
            if queue.full() or told is None:
                while not queue.empty():
                    queue.get_nowait()
                told = None
            queue.put_nowait(told)
