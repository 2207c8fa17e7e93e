"""A TCP proxy between our processes and PostgreSQL that spoils connections on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from dataclasses import dataclass, field
from random import Random
from typing import Literal, TypeAlias

Mode: TypeAlias = Literal["pass", "delay", "cut", "cut_after_commit"]

_COMMIT = b"COMMIT"


@dataclass
class Proxy:
    """`share` of the chunks (or commits) that pass are delayed by `delay` seconds, or end their connection.

    Runs in a thread of its own, so that tests may block. `spoiled` counts what was done.
    """

    target_port: int
    rng: Random
    mode: Mode = "pass"
    share: float = 0.1
    delay: float = 0.3
    port: int = 0
    spoiled: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _thread: threading.Thread | None = None
    _server: asyncio.Server | None = None

    def start(self, port: int = 0) -> None:
        """Listen on `port`, or on any free one."""
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", port), self._loop)
        self._server = starting.result(5)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        async def cancel_all() -> None:
            if self._server is not None:
                self._server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(cancel_all(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        if self._thread is not None:
            self._thread.join(10)
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.close()
            return
        to_server = asyncio.create_task(self._pump(reader, up_writer, is_client=True))
        to_client = asyncio.create_task(self._pump(up_reader, writer, is_client=False))
        try:
            await asyncio.wait({to_server, to_client}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (to_server, to_client):
                task.cancel()
            for side in (writer, up_writer):
                with contextlib.suppress(OSError, RuntimeError):
                    side.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_client: bool) -> None:
        """Until one side ends, or the connection is cut."""
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65536):
                is_chosen = self.mode != "pass" and self.rng.random() < self.share
                if self.mode == "cut_after_commit" and is_client and _COMMIT in chunk and is_chosen:
                    writer.write(chunk)
                    await writer.drain()
                    # The server has it; its answer must not arrive.
                    await asyncio.sleep(0.05)
                    self.spoiled += 1
                    return
                if self.mode == "cut" and is_chosen:
                    self.spoiled += 1
                    return
                if self.mode == "delay" and is_chosen:
                    self.spoiled += 1
                    await asyncio.sleep(self.delay)
                writer.write(chunk)
                await writer.drain()
