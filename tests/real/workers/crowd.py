"""Many workers with a health endpoint each, in one process that they die with: HOST PORT.

Every path is healthy. Answered by hand and in one loop, because hundreds of web servers would decide the outcome of the
tests that run beside this one."""

import asyncio
import sys

BODY = b'{"status":"healthy"}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(BODY), BODY)


async def answer(reader, writer):
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    server = await asyncio.start_server(answer, sys.argv[1], int(sys.argv[2]), backlog=512)
    async with server:
        await server.serve_forever()


asyncio.run(main())
