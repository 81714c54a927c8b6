#!/usr/bin/env python3
"""A client of tests/peers/pipe_service.py with dbus-fast (PyPI): pipes_dbus_fast.py NAME"""

import asyncio
import hashlib
import os
import socket
import sys
import tempfile

from dbus_fast.aio import MessageBus


async def main():
    bus = await MessageBus(negotiate_unix_fd=True).connect()
    introspection = await bus.introspect(sys.argv[1], "/pipes")
    there = bus.get_proxy_object(sys.argv[1], "/pipes", introspection)
    pipes = there.get_interface("org.example.Pipes")

    reader, writer = os.pipe()
    os.write(writer, b"through a pipe")
    os.close(writer)
    assert await pipes.call_sum(reader) == hashlib.sha256(b"through a pipe").hexdigest()
    os.close(reader)
    print("a pipe was read")

    with tempfile.NamedTemporaryFile() as file:
        file.write(b"a file")
        file.flush()
        with open(file.name, "rb") as opened:
            assert await pipes.call_sum(opened.fileno()) == hashlib.sha256(b"a file").hexdigest()
    print("a file was read")

    film, wanted = await pipes.call_film(40)
    with os.fdopen(film, "rb") as film:
        assert hashlib.sha256(film.read()).hexdigest() == wanted
    print("a pipe came")

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    await pipes.call_echo(theirs.fileno())
    theirs.close()
    ours.send(b"a packet")
    assert ours.recv(100) == b"a packet"
    print("a packet came back")


asyncio.run(main())
