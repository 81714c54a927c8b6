#!/usr/bin/env python3
"""Two faders wired to each other over two bridges: both values over time, at 10, 50 and 200 ms latency.

    sudo ZOCP=target/debug/zocp target/venv/bin/python tests/bench/faders.py docs/explanation/faders.svg

Each bridge is in a network namespace with a bus of its own. A program in between delays what passes, so no kernel
module is needed. One person moves the fader of the first bridge, 250 values a second for a second; then the
other one moves that of the second bridge back. What the buses tell is recorded and drawn.

Needs root, iproute2, dbus-daemon and dbus-fast (tests/peers/requirements.txt).
"""

import array
import asyncio
import collections
import ctypes
import fcntl
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

ZOCP = os.path.abspath(os.environ.get("ZOCP", "target/release/zocp"))
LATENCIES = [10, 50, 200]
STEPS, INTERVAL = 250, 0.004
REST = 1.0
HUB, LOCAL = "org.z25.Zocp1", "/org/z25/Zocp1/Local"
VALUES, SIGNALS = "org.z25.Zocp1.Values", "org.z25.Zocp1.Signals"
CLONE_NEWNET = 0x40000000
OFFLOADS = (0x17, 0x1F, 0x24, 0x19)


def sh(command):
    subprocess.run(command, shell=True, check=True)


def in_namespace(name):
    """Moves this process there."""
    with open(f"/run/netns/{name}") as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {name}")


def relay(name, delay):
    """Passes frames from one interface of this namespace to the other, later. Never returns."""
    in_namespace(name)
    ends = []
    for device in ("left", "right"):
        end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        end.bind((device, 0))
        # Promiscuous, and not what this program sends itself.
        index = socket.if_nametoindex(device)
        end.setsockopt(263, 1, struct.pack("IHH8s", index, 1, 0, b""))
        end.setsockopt(263, 23, 1)
        ends.append(end)
    queue = collections.deque()
    while True:
        now = time.monotonic()
        while queue and queue[0][0] <= now:
            _, end, frame = queue.popleft()
            end.send(frame)
        wait = max(0, queue[0][0] - now) if queue else None
        for end in select.select(ends, [], [], wait)[0]:
            frame = end.recv(70000)
            queue.append((time.monotonic() + delay, ends[end is ends[0]], frame))


class Lab:
    """Two hosts and what delays between them."""

    def __init__(self, latency):
        self.dir = tempfile.mkdtemp(prefix="faders-")
        self.tag = f"fd{os.getpid() % 10000}"
        self.children, self.hosts = [], []
        self.wire = self.tag + "w"
        sh(f"ip netns add {self.wire}")
        for number, end in ((1, "left"), (2, "right")):
            host = f"{self.tag}h{number}"
            sh(
                f"ip netns add {host} && ip -n {host} link set lo up && "
                f"ip link add {end} netns {self.wire} type veth peer name eth0 netns {host} && "
                f"ip -n {self.wire} link set {end} up && "
                f"ip -n {host} addr add 10.78.0.{number}/24 brd + dev eth0 && ip -n {host} link set eth0 up"
            )
            # Sums that the kernel leaves to a card would be missing in frames that a program passes on.
            self.fork(self.without_offload, host)
            os.waitpid(self.children.pop(), 0)
            self.hosts.append(host)
        self.fork(relay, self.wire, latency / 1000)

    def fork(self, work, *args):
        child = os.fork()
        if child == 0:
            try:
                work(*args)
            except BaseException as error:
                print(f"faders: {error}", file=sys.stderr)
            finally:
                os._exit(0)
        self.children.append(child)

    @staticmethod
    def without_offload(host):
        in_namespace(host)
        control = socket.socket()
        for code in OFFLOADS:
            value = array.array("B", struct.pack("II", code, 0))
            request = struct.pack("16sP", b"eth0", value.buffer_info()[0])
            try:
                fcntl.ioctl(control, 0x8946, request)
            except OSError:
                pass

    def spawn(self, host, *command):
        log = open(os.path.join(self.dir, host + ".log"), "ab")
        child = subprocess.Popen(
            ["ip", "netns", "exec", host, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        self.children.append(child.pid)

    def bridge(self, number):
        """A bus and a bridge; the bus's address."""
        host = self.hosts[number]
        path = os.path.join(self.dir, f"bus{number}")
        self.spawn(host, "dbus-daemon", "--session", "--nofork", f"--address=unix:path={path}")
        while not os.path.exists(path):
            time.sleep(0.01)
        self.spawn(host, ZOCP, "bridge", "--name", f"desk{number}", "--bus", f"unix:path={path}", "--state", "")
        return f"unix:path={path}"

    def close(self):
        for child in reversed(self.children):
            os.kill(child, 15)
        for child in self.children:
            try:
                os.waitpid(child, 0)
            except ChildProcessError:
                pass
        for name in [*self.hosts, self.wire]:
            sh(f"ip netns del {name}")
        shutil.rmtree(self.dir)


class Desk:
    """A client of one bridge that publishes a fader and records what it is told of it."""

    def __init__(self, bus, begun):
        self.bus, self.begun, self.seen = bus, begun, []

    async def call(self, path, interface, member, signature="", *body):
        message = Message(HUB, path, interface, member, signature=signature, body=list(body))
        answer = await self.bus.call(message)
        if answer.message_type is MessageType.ERROR:
            raise RuntimeError(f"{member}: {answer.body}")
        return answer.body

    async def start(self, name):
        self.name = name
        while True:
            try:
                options = {"Access": Variant("s", "rwes")}
                await self.call(
                    LOCAL, "org.z25.Zocp1.Local", "Publish", "sva{sv}", name, Variant("d", 0.0), options
                )
                break
            except RuntimeError:
                await asyncio.sleep(0.05)
        rule = f"type='signal',sender='{HUB}',path='{LOCAL}',interface='{SIGNALS}'"
        add = Message(
            "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "AddMatch", signature="s", body=[rule]
        )
        await self.bus.call(add)
        self.bus.add_message_handler(self.hear)

    def hear(self, message):
        if message.message_type is MessageType.SIGNAL and message.member == self.name:
            self.seen.append((time.monotonic() - self.begun[0], message.body[0]))

    async def set(self, value):
        await self.call(
            LOCAL, "org.freedesktop.DBus.Properties", "Set", "ssv", VALUES, self.name, Variant("d", value)
        )

    async def sent(self):
        sent = await self.call(
            "/org/z25/Zocp1", "org.freedesktop.DBus.Properties", "Get", "ss", "org.z25.Zocp1.Statistics", "Sent"
        )
        return sent[0].value.get("SIG", [0])[0]

    async def move(self, first, last):
        begun = time.monotonic()
        for step in range(STEPS + 1):
            await self.set(first + (last - first) * step / STEPS)
            await asyncio.sleep(max(0, begun + (step + 1) * INTERVAL - time.monotonic()))


async def record(addresses):
    begun = [time.monotonic()]
    desks = []
    for address, name in zip(addresses, ("a", "b")):
        desk = Desk(await MessageBus(bus_address=address).connect(), begun)
        await desk.start(name)
        desks.append(desk)
    for ends in (("desk0", "a", "desk1", "b"), ("desk1", "b", "desk0", "a")):
        while True:
            try:
                await desks[0].call("/org/z25/Zocp1", "org.z25.Zocp1.Bridge", "Wire", "ssss", *ends)
                break
            except RuntimeError:
                await asyncio.sleep(0.1)
    await asyncio.sleep(1)
    before = [await desk.sent() for desk in desks]
    begun[0] = time.monotonic()
    for desk in desks:
        desk.seen.clear()
    await desks[0].move(0.0, 1.0)
    await asyncio.sleep(REST)
    await desks[1].move(1.0, 0.25)
    ended = time.monotonic() - begun[0]
    await asyncio.sleep(REST)
    after = [await desk.sent() for desk in desks]
    signals = sum(after) - sum(before)
    rested = max(at for desk in desks for at, _ in desk.seen) - ended
    return [desk.seen for desk in desks], signals, rested


def jumps(seen, until):
    """How often a value went down while it was moved up."""
    values = [value for at, value in seen if at < until]
    return sum(later < earlier for earlier, later in zip(values, values[1:]))


def drawn(runs):
    """The picture: a row for each latency."""
    width, height, left = 720, 150, 60
    span = 2 * STEPS * INTERVAL + 2 * REST + 0.2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height * len(runs) + 30}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height * len(runs) + 30}" fill="white"/>',
    ]
    for row, (latency, seen, signals, rested) in enumerate(runs):
        top = 20 + row * height
        x = lambda at: left + at / span * (width - left - 10)
        y = lambda value: top + 10 + (1 - value) * (height - 40)
        parts.append(f'<text x="{left}" y="{top}">{latency} ms: {signals} signals, at rest {max(0, rested) * 1000:.0f} ms after the last touch</text>')
        for value in (0, 1):
            parts.append(f'<path d="M{left} {y(value):.1f}H{width - 10}" stroke="#ddd"/><text x="{left - 15}" y="{y(value) + 4:.1f}">{value}</text>')
        for second in range(int(span) + 1):
            parts.append(f'<text x="{x(second):.0f}" y="{top + height - 18}" fill="#888">{second} s</text>')
        for values, colour in zip(seen, ("#1f6fb2", "#d1621b")):
            # A step for each change; of several within a pixel and a half one, but what stays is drawn.
            path, last = f"M{x(0):.1f} {y(0):.1f}", -1.0
            for index, (at, value) in enumerate(values):
                stays = index + 1 == len(values) or x(values[index + 1][0]) - x(at) >= 1.5
                if stays or x(at) - last >= 1.5:
                    last = x(at)
                    path += f"H{last:.1f}V{y(value):.1f}"
            parts.append(f'<path d="{path}H{width - 10}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
    bottom = height * len(runs) + 20
    parts.append(f'<text x="{left}" y="{bottom}" fill="#1f6fb2">a, moved first</text><text x="{left + 120}" y="{bottom}" fill="#d1621b">b, moved back</text></svg>')
    return "\n".join(parts) + "\n"


def main():
    runs = []
    for latency in LATENCIES:
        lab = Lab(latency)
        try:
            addresses = [lab.bridge(number) for number in (0, 1)]
            seen, signals, rested = asyncio.run(record(addresses))
        finally:
            lab.close()
        ends = [values[-1][1] for values in seen]
        moved = STEPS * INTERVAL
        print(
            f"{latency} ms: both end at {ends}, {signals} signals for {2 * (STEPS + 1)} values, "
            f"jumps back of a while it is moved: {jumps(seen[0], moved)}, at rest {rested * 1000:.0f} ms after the last touch",
            flush=True,
        )
        runs.append((latency, seen, signals, rested))
    with open(sys.argv[1], "w") as picture:
        picture.write(drawn(runs))


if __name__ == "__main__":
    main()
