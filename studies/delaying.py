"""Pass connections on to another port, what comes back late.

``python -m studies.delaying LISTEN_PORT TO_PORT SECONDS`` on the loopback interface.
Answers keep their order and their pace; each is that much later.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

LOOPBACK = "127.0.0.1"
CHUNK = 65536


async def pump(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, late_s: float
) -> None:
    """Copy until the source ends, each piece so much later than it came."""
    clock = asyncio.get_running_loop().time
    waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def write() -> None:
        while True:
            due, data = await waiting.get()
            await asyncio.sleep(due - clock())
            if not data:
                return
            sink.write(data)
            await sink.drain()

    writing = asyncio.create_task(write())
    with contextlib.suppress(ConnectionError):
        while data := await source.read(CHUNK):
            waiting.put_nowait((clock() + late_s, data))
    waiting.put_nowait((clock() + late_s, b""))
    with contextlib.suppress(ConnectionError):
        await writing
    sink.close()


async def serve(listen: int, to: int, late_s: float) -> asyncio.Server:
    """Listen on a port of the loopback interface."""

    async def connected(
        asked: asyncio.StreamReader, answered: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(ConnectionError):
            answers, asking = await asyncio.open_connection(LOOPBACK, to)
            await asyncio.gather(
                pump(asked, asking, 0.0), pump(answers, answered, late_s)
            )

    return await asyncio.start_server(connected, LOOPBACK, listen)


async def forever(listen: int, to: int, late_s: float) -> None:
    """Serve until the process ends."""
    server = await serve(listen, to, late_s)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(forever(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
