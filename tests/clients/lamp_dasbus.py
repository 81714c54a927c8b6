#!/usr/bin/python3
"""A client of tests/peers/lamp_service.py with dasbus (Debian: python3-dasbus): lamp_dasbus.py [NAME]"""

import sys
from xml.etree import ElementTree

from dasbus.connection import SessionMessageBus
from dasbus.error import DBusError
from dasbus.loop import EventLoop

LAMP1 = "org.example.Lamp1"


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else "org.example.Lamp"
    lamp = SessionMessageBus().get_proxy(name, "/org/example/lamp")
    loop = EventLoop()

    lamp.Level = 0.25
    print("level is", lamp.Level)
    print("kind is", lamp.Kind)
    print("properties:", *sorted(lamp.GetAll(LAMP1)))
    methods = ElementTree.fromstring(lamp.Introspect()).findall(f"interface[@name='{LAMP1}']/method")
    print("methods:", *sorted(method.get("name") for method in methods))

    def blinked(number):
        print("signal", number)
        if number == 2:
            loop.quit()

    lamp.Blinked.connect(blinked)
    print(lamp.Blink(3))
    loop.run()

    try:
        lamp.Fail()
    except DBusError as error:
        print(f"{error.dbus_name}: {error}")


if __name__ == "__main__":
    main()
