#!/usr/bin/python3
"""A client of tests/peers/lamp_service.py with dbus-python (Debian: python3-dbus): lamp_dbus_python.py [NAME]"""

import sys
from xml.etree import ElementTree

import dbus
from dbus.mainloop.glib import DBusGMainLoop
from gi.repository import GLib

LAMP1 = "org.example.Lamp1"


def main():
    name = sys.argv[1] if len(sys.argv) > 1 else "org.example.Lamp"
    bus = dbus.SessionBus(mainloop=DBusGMainLoop())
    there = bus.get_object(name, "/org/example/lamp")
    lamp = dbus.Interface(there, LAMP1)
    properties = dbus.Interface(there, dbus.PROPERTIES_IFACE)
    loop = GLib.MainLoop()

    properties.Set(LAMP1, "Level", 0.25)
    print("level is", properties.Get(LAMP1, "Level"))
    print("kind is", properties.Get(LAMP1, "Kind"))
    print("properties:", *sorted(properties.GetAll(LAMP1)))
    text = there.Introspect(dbus_interface=dbus.INTROSPECTABLE_IFACE)
    methods = ElementTree.fromstring(text).findall(f"interface[@name='{LAMP1}']/method")
    print("methods:", *sorted(method.get("name") for method in methods))

    def blinked(number):
        print("signal", number)
        if number == 2:
            loop.quit()

    lamp.connect_to_signal("Blinked", blinked)
    print(lamp.Blink(3))
    loop.run()

    try:
        lamp.Fail()
    except dbus.DBusException as error:
        print(f"{error.get_dbus_name()}: {error.get_dbus_message()}")


if __name__ == "__main__":
    main()
