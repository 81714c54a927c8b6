#!/usr/bin/env python3
"""A client of tests/peers/lamp_service.py with dbus-fast (PyPI): lamp_dbus_fast.py [NAME]"""

import asyncio
import sys

from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusError

PATH = "/org/example/lamp"
LAMP1 = "org.example.Lamp1"


async def main():
    name = sys.argv[1] if len(sys.argv) > 1 else "org.example.Lamp"
    bus = await MessageBus().connect()
    introspection = await bus.introspect(name, PATH)
    there = bus.get_proxy_object(name, PATH, introspection)
    lamp = there.get_interface(LAMP1)
    properties = there.get_interface("org.freedesktop.DBus.Properties")

    await lamp.set_level(0.25)
    print("level is", await lamp.get_level())
    print("kind is", await lamp.get_kind())
    print("properties:", *sorted(await properties.call_get_all(LAMP1)))
    interface = next(one for one in introspection.interfaces if one.name == LAMP1)
    print("methods:", *sorted(method.name for method in interface.methods))

    numbers = asyncio.Queue()
    lamp.on_blinked(numbers.put_nowait)
    print(await lamp.call_blink(3))
    for _ in range(3):
        print("signal", await numbers.get())

    try:
        await lamp.call_fail()
    except DBusError as error:
        print(f"{error.type}: {error.text}")


if __name__ == "__main__":
    asyncio.run(main())
