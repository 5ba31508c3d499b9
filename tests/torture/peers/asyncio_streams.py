#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
#
# asyncio_streams.py PORT -- the echo server on Python's asyncio streams: reads, writes, and waits
# until the transport has drained.
import asyncio
import sys


async def echo(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


async def main():
    server = await asyncio.start_server(echo, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()


asyncio.run(main())
