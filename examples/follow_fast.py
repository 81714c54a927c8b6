#!/usr/bin/python3
"""The lamp follows the fader: read, set and follow mirrored nodes from Python, with asyncio.

Start `zocp demo`, then in another shell: python3 examples/follow_fast.py [COUNT]
COUNT is how many signals to follow; without it, until Ctrl-C.
Needs dbus-fast (PyPI). `follow.py` does the same with dasbus, which Debian has.
"""

import asyncio
import sys

from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusError

NODE = "/org/z25/Zocp1/Node"


async def node(bus, name):
    name = f"org.z25.Zocp1.Node.{name}"
    return bus.get_proxy_object(name, NODE, await bus.introspect(name, NODE))


async def main():
    left = int(sys.argv[1]) if len(sys.argv) > 1 else None
    bus = await MessageBus().connect()
    lamp = (await node(bus, "lamp")).get_interface("org.z25.Zocp1.Values")
    fader = (await node(bus, "fader")).get_interface("org.z25.Zocp1.Signals")

    # Read: a property, natively typed.
    print("brightness is", await lamp.get_brightness())

    # Set: the node itself is asked, and what it cannot be is refused.
    try:
        await lamp.set_brightness(2.0)
    except DBusError as error:
        print("refused:", error)

    # Follow: each emission of the fader is a signal.
    levels = asyncio.Queue()
    fader.on_level(levels.put_nowait)
    while left is None or left > 0:
        await lamp.set_brightness(await levels.get())
        print("brightness is now", await lamp.get_brightness())
        left = left and left - 1


try:
    asyncio.run(main())
except KeyboardInterrupt:
    pass
