#!/usr/bin/env python3
"""How long a call takes while another program has many under way.

    tests/bench/fair.py ADDRESS [IN_FLIGHT]

Two clients of the bus at ADDRESS call the bridge there. One keeps IN_FLIGHT calls (10,000) under way, the
other makes one call after the other; it is timed alone, then beside the first. For comparison the same is
done with the bus itself in the place of the bridge: what is left over is the bus's own queue.

Plain sockets: a client library would be slower than what is measured.
"""

import multiprocessing
import os
import queue
import socket
import statistics
import struct
import sys
import threading
import time

CALLS = 2000


def padded(octets, to):
    return octets + b"\0" * (-len(octets) % to)


def string(text):
    octets = text.encode()
    return struct.pack("<I", len(octets)) + octets + b"\0"


def call(serial, destination, path, interface, member):
    fields = b""
    for code, kind, text in ((1, "o", path), (2, "s", interface), (3, "s", member), (6, "s", destination)):
        fields = padded(fields, 8) + struct.pack("<B", code) + b"\1" + kind.encode() + b"\0" + string(text)
    head = struct.pack("<BBBBIII", ord("l"), 1, 0, 1, 0, serial, len(fields))
    return padded(head + fields, 8)


class Client:
    def __init__(self, address):
        path = address.split("path=")[1].split(",")[0]
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.buffer = b""
        self.serial = 1
        uid = str(os.getuid()).encode().hex()
        self.socket.sendall(b"\0AUTH EXTERNAL " + uid.encode() + b"\r\n")
        self.socket.recv(4096)
        self.socket.sendall(b"BEGIN\r\n")
        bus = "org.freedesktop.DBus"
        self.socket.sendall(call(1, bus, "/org/freedesktop/DBus", bus, "Hello"))
        while self.answers() == 0:
            pass
        self.drain()

    def drain(self):
        self.socket.settimeout(0.2)
        try:
            while True:
                self.answers()
        except TimeoutError:
            self.socket.settimeout(None)

    def answers(self):
        """Reads once; how many answers came."""
        self.buffer += self.socket.recv(1 << 18)
        at = count = 0
        while len(self.buffer) - at >= 16:
            body, _, fields = struct.unpack_from("<III", self.buffer, at + 4)
            length = 16 + fields + (-fields % 8) + body
            if len(self.buffer) - at < length:
                break
            count += self.buffer[at + 1] in (2, 3)
            at += length
        self.buffer = self.buffer[at:]
        return count

    def send(self, count, target):
        messages = []
        for _ in range(count):
            self.serial += 1
            messages.append(call(self.serial, *target))
        self.socket.sendall(b"".join(messages))


def timed(client, target):
    took = []
    for _ in range(CALLS):
        start = time.perf_counter()
        client.send(1, target)
        while client.answers() == 0:
            pass
        took.append((time.perf_counter() - start) * 1e6)
    took.sort()
    return statistics.median(took), took[CALLS * 99 // 100]


def flood(address, target, in_flight, done):
    """Keeps calls under way, in a process of its own, until it is ended."""
    client = Client(address)
    due = queue.SimpleQueue()
    due.put(in_flight)

    def write():
        while True:
            client.send(due.get(), target)

    threading.Thread(target=write, daemon=True).start()
    while True:
        if count := client.answers():
            done.value += count
            due.put(count)


def main():
    address = sys.argv[1]
    in_flight = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000
    peer = ("org.freedesktop.DBus.Peer", "Ping")
    targets = {
        "bridge": ("org.z25.Zocp1", "/org/z25/Zocp1", *peer),
        "bus": ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId"),
    }
    modest = Client(address)
    for name, target in targets.items():
        timed(modest, target)
        alone = timed(modest, target)
        done = multiprocessing.Value("Q", 0, lock=False)
        greedy = multiprocessing.Process(target=flood, args=(address, target, in_flight, done))
        greedy.start()
        while done.value < in_flight:
            time.sleep(0.05)
        before, since = done.value, time.perf_counter()
        beside = timed(modest, target)
        rate = (done.value - before) / (time.perf_counter() - since)
        greedy.terminate()
        greedy.join()
        for what, (median, p99) in (("alone", alone), (f"beside {in_flight}", beside)):
            print(f"{name:8}{what:16}median {median:8.0f} µs   p99 {p99:8.0f} µs")
        print(f"{name:8}the other had {rate:.0f} calls a second")


main()
