#!/usr/bin/env python3
"""Passes Ethernet frames between two TAP devices, as bad weather would.

    weather.py DEVICE DEVICE LOST DOUBLED LATE SEED [DELAY [FLIPPED RECORD]]

LOST, DOUBLED and LATE are percent of the frames. A late frame waits up to 20 ms, and others overtake it. Every frame
takes DELAY ms besides.
FLIPPED percent of the UDP packets have one bit changed, and a checksum that does not tell. All frames are written to the
file RECORD. The line `replay` on standard input sends all that passed so far once more.
It says `ready` when frames pass.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time

FRAME_LEN_MAX = 65536
LATE_MAX = 0.020
TUNSETIFF = 0x400454CA
IFF_TAP = 0x0002
IFF_NO_PI = 0x1000


def tap(name):
    """The open end of a TAP device."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    return device


def fates(lost, doubled, late, chance):
    """How long each copy of a frame waits."""
    if chance.uniform(0, 100) < lost:
        return []
    copies = 2 if chance.uniform(0, 100) < doubled else 1
    return [chance.uniform(0, LATE_MAX) if chance.uniform(0, 100) < late else 0 for _ in range(copies)]


def flip(frame, chance):
    """A UDP packet over IPv4 with one bit of its payload changed; other frames as they are."""
    head = 14 + (frame[14] & 15) * 4 + 8
    if frame[12:14] != b"\x08\x00" or frame[23] != 17 or len(frame) <= head:
        return frame
    frame = bytearray(frame)
    frame[chance.randrange(head, len(frame))] ^= 1 << chance.randrange(8)
    # There is none.
    frame[head - 2 : head] = b"\0\0"
    return bytes(frame)


def main():
    one, other = (tap(name) for name in sys.argv[1:3])
    lost, doubled, late, seed = (int(word) for word in sys.argv[3:7])
    delay = float(sys.argv[7]) / 1000 if sys.argv[7:] else 0
    flipped, record = (int(sys.argv[8]), open(sys.argv[9], "wb", buffering=0)) if sys.argv[8:] else (0, None)
    chance = random.Random(seed)
    passed = []
    across = {one: other, other: one}
    waiting, number = [], 0
    print("ready", flush=True)
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _due, _number, device, frame = heapq.heappop(waiting)
            try:
                os.write(device, frame)
            except BlockingIOError:
                pass
        pause = waiting[0][0] - now if waiting else None
        for device in select.select([one, other, sys.stdin] if record else [one, other], [], [], pause)[0]:
            if device is sys.stdin:
                sys.stdin.readline()
                for to, frame in passed:
                    number += 1
                    heapq.heappush(waiting, (now, number, to, frame))
                print("replays", len(passed), flush=True)
                continue
            frame = os.read(device, FRAME_LEN_MAX)
            if record:
                record.write(frame)
                passed.append((across[device], frame))
                if chance.uniform(0, 100) < flipped:
                    frame = flip(frame, chance)
            for wait in fates(lost, doubled, late, chance):
                number += 1
                heapq.heappush(waiting, (time.monotonic() + delay + wait, number, across[device], frame))


main()
