"""The measuring of faces.sh: `faces.py echo` on the far host, `faces.py measure BUS OSC_PID BRIDGE_PID SECONDS` here."""

import asyncio
import os
import socket
import sys
import time

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from pythonosc.osc_message_builder import OscMessageBuilder
from pythonosc.osc_packet import OscPacket

FAR = ("10.99.0.2", 7007)
OSC = ("127.0.0.1", 9000)
LOCAL = dict(destination="org.z25.Zocp1", path="/org/z25/Zocp1/Local")
ROUNDS = 300


def echo():
    far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    far.bind(FAR)
    while True:
        octets, sender = far.recvfrom(2048)
        far.sendto(octets, sender)


def packet(value):
    builder = OscMessageBuilder(address="/stage/probe")
    builder.add_arg(value)
    return builder.build().dgram


def told(what, times):
    times = sorted(times)
    p50, p99 = (times[int(len(times) * share)] * 1e6 for share in (0.5, 0.99))
    print(f"{what:<44} p50 {p50:7.0f} µs   p99 {p99:7.0f} µs", flush=True)


def processor(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Rig:
    async def start(self, address):
        self.loop = asyncio.get_running_loop()
        self.near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.near.bind(("127.0.0.1", 9001))
        self.near.setblocking(False)
        self.bus = await MessageBus(bus_address=address).connect()
        self.last, self.waiting = None, None
        self.bus.add_message_handler(self.message)
        await self.call(dict(destination="org.freedesktop.DBus", path="/org/freedesktop/DBus"), "org.freedesktop.DBus",
                        "AddMatch", "s", ["type='signal',interface='org.z25.Zocp1.Signals'"])
        options = {"Access": Variant("s", "rwe")}
        await self.call(LOCAL, "org.z25.Zocp1.Local", "Publish", "sva{sv}", ["probe", Variant("x", -1), options])
        # The face knows the value, and so everything is there.
        while True:
            octets = await self.loop.sock_recv(self.near, 2048)
            if any(timed.message.address == "/stage/probe" for timed in OscPacket(octets).messages):
                return

    async def call(self, place, interface, member, signature, body):
        answer = await self.bus.call(Message(**place, interface=interface, member=member, signature=signature, body=body))
        if answer.message_type == MessageType.ERROR:
            raise RuntimeError(answer.body)
        return answer.body

    def message(self, message):
        if message.message_type == MessageType.SIGNAL and message.member == "probe":
            self.last = message.body[0]
            if self.waiting and self.waiting[0] == self.last and not self.waiting[1].done():
                self.waiting[1].set_result(time.perf_counter())

    def signal(self, value):
        self.waiting = (value, self.loop.create_future())
        return self.waiting[1]

    async def udp(self):
        probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        probe.setblocking(False)
        times = []
        for value in range(ROUNDS):
            begin = time.perf_counter()
            probe.sendto(packet(value), FAR)
            await self.loop.sock_recv(probe, 2048)
            times.append(time.perf_counter() - begin)
        told("UDP there and back, nothing between", times)

    async def to_signal(self):
        times = []
        for value in range(ROUNDS):
            arrives = self.signal(value)
            begin = time.perf_counter()
            self.near_out.sendto(packet(value), OSC)
            times.append(await asyncio.wait_for(arrives, 5) - begin)
            await asyncio.sleep(0.006)
            self.drain()
        told("OSC message to signal on the other bus", times)

    def drain(self):
        """What was told so far is not looked at, and would fill what the system keeps."""
        while True:
            try:
                self.near.recv(2048)
            except BlockingIOError:
                return

    async def to_datagram(self):
        times = []
        self.drain()
        for value in range(ROUNDS, 2 * ROUNDS):
            begin = time.perf_counter()
            setting = asyncio.create_task(self.call(LOCAL, "org.freedesktop.DBus.Properties", "Set", "ssv",
                                                    ["org.z25.Zocp1.Values", "probe", Variant("x", value)]))
            while True:
                octets = await asyncio.wait_for(self.loop.sock_recv(self.near, 2048), 5)
                if any(timed.message.params == [value] for timed in OscPacket(octets).messages):
                    break
            times.append(time.perf_counter() - begin)
            await setting
            await asyncio.sleep(0.006)
        told("Set on the other bus to OSC datagram", times)

    async def flood(self, osc, bridge, seconds):
        count, before, begin = 10_000 * seconds, (processor(osc), processor(bridge)), time.perf_counter()
        sent = 0
        while sent < count:
            due = min(count, int((time.perf_counter() - begin) * 10_000))
            while sent < due:
                self.near_out.sendto(packet(sent), OSC)
                sent += 1
            self.drain()
            await asyncio.sleep(0.001)
        took = time.perf_counter() - begin
        deadline = time.perf_counter() + 5
        while self.last != count - 1 and time.perf_counter() < deadline:
            await asyncio.sleep(0.01)
        used = [after - was for after, was in zip((processor(osc), processor(bridge)), before)]
        print(f"{count} messages in {took:.1f} s: processor of zocp osc {used[0] / took:.0%}, of the bridge "
              f"{used[1] / took:.0%}; last value sent {count - 1}, arrived {self.last}", flush=True)
        await asyncio.sleep(2)
        print(await self.counts(), flush=True)

    async def counts(self):
        place = dict(destination="org.z25.Zocp1.Node.osc", path="/org/z25/Zocp1/Node/counts")
        [values] = await self.call(place, "org.freedesktop.DBus.Properties", "GetAll", "s", ["org.z25.Zocp1.Values"])
        return ", ".join(f"{name} {value.value}" for name, value in sorted(values.items()))


async def measure(address, osc, bridge, seconds):
    rig = Rig()
    await rig.start(address)
    rig.near_out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for _ in range(2):
        await rig.udp()
        await rig.to_signal()
        await rig.to_datagram()
    await rig.flood(int(osc), int(bridge), int(seconds))


if sys.argv[1] == "echo":
    echo()
else:
    asyncio.run(measure(*sys.argv[2:]))
