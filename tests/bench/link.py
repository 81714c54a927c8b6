#!/usr/bin/env python3
"""What tests/bench/link.sh measures a link with; needs dbus-fast.

    link.py serve ADDRESS NAME            a service that gives back what it gets
    link.py echo HOST PORT                the same over a bare TCP connection
    link.py measure ADDRESS NAME HOST PORT [ROUNDS]
"""

import asyncio
import socket
import statistics
import sys
import time

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus

PATH, INTERFACE = "/org/example/Echo", "org.example.Echo"
LARGE = 64 << 10


async def serve(address, name):
    """Answers every call with its body."""
    bus = await MessageBus(bus_address=address).connect()

    def answer(message):
        if message.message_type == MessageType.METHOD_CALL and message.interface == INTERFACE:
            return Message.new_method_return(message, message.signature, message.body)
        return None

    bus.add_message_handler(answer)
    await bus.request_name(name)
    await bus.wait_for_disconnect()


async def echo(host, port):
    """Gives back what comes on each connection."""

    async def one(reader, writer):
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while octets := await reader.read(1 << 20):
            writer.write(octets)
            await writer.drain()

    server = await asyncio.start_server(one, host, int(port))
    await server.serve_forever()


async def caller(address, name):
    """A call of the service."""
    bus = await MessageBus(bus_address=address).connect()

    async def call(octets):
        message = Message(destination=name, path=PATH, interface=INTERFACE, member="Echo", signature="ay", body=[octets])
        reply = await bus.call(message)
        assert reply.message_type == MessageType.METHOD_RETURN, reply.body
        assert len(reply.body[0]) == len(octets)

    return call


async def bare(host, port):
    """The same over TCP."""
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def call(octets):
        writer.write(octets)
        await reader.readexactly(len(octets))

    return call


async def times(call, octets, rounds):
    """The times of calls one after the other, in µs."""
    taken = []
    for _ in range(rounds):
        begin = time.perf_counter()
        await call(octets)
        taken.append((time.perf_counter() - begin) * 1e6)
    return taken


async def measure(address, name, host, port, rounds="2000"):
    """Calls by both ways, in batches that alternate."""
    rounds = int(rounds)
    ways = {"bare TCP": await bare(host, port), "link": await caller(address, name)}
    for label, octets, count in [("16 octets", bytes(16), rounds), ("64 KiB", bytes(LARGE), max(rounds // 10, 10))]:
        taken = {way: [] for way in ways}
        for _ in range(5):
            for way, call in ways.items():
                await times(call, octets, 3)
                taken[way] += await times(call, octets, count // 5)
        for way, all_of in taken.items():
            p50, p99 = statistics.median(all_of), statistics.quantiles(all_of, n=100)[98]
            rate = 2 * len(octets) / statistics.mean(all_of)
            print(f"{label:10} {way:9} p50 {p50:9.0f} µs   p99 {p99:9.0f} µs   {rate:7.1f} MB/s there and back", flush=True)


VERBS = {"serve": serve, "echo": echo, "measure": measure}
asyncio.run(VERBS[sys.argv[1]](*sys.argv[2:]))
