#!/usr/bin/python3
"""A D-Bus service of the kind that people write: a lamp, and a rack of further lamps.

    lamp_service.py [NAME]                the bus name, org.example.Lamp unless told otherwise

/org/example/lamp       org.example.Lamp1, described in XML below
/org/example/rack       org.freedesktop.DBus.ObjectManager over /org/example/rack/<lamp>, and org.example.Rack1

It stands on GDBus (Debian: python3-gi) and says `ready` when it has its name.
"""

import sys

from gi.repository import Gio, GLib

LAMP = "/org/example/lamp"
RACK = "/org/example/rack"
BROKEN = "org.example.Lamp.Error.Broken"
TAKEN = "org.example.Rack.Error.Taken"

XML = """
<node>
  <interface name="org.example.Lamp1">
    <method name="Blink">
      <arg name="times" type="u" direction="in"/>
      <arg name="done" type="s" direction="out"/>
    </method>
    <!-- Always org.example.Lamp.Error.Broken. -->
    <method name="Fail"/>
    <!-- Is never answered. -->
    <method name="Wait"/>
    <!-- Who calls, as the lamp sees it. -->
    <method name="Sender"><arg name="name" type="s" direction="out"/></method>
    <!-- Tells the caller alone. -->
    <method name="Whisper"><arg name="text" type="s" direction="in"/></method>
    <!-- Counts; Counted is the sum so far. -->
    <method name="Count"/>
    <method name="Counted"><arg name="count" type="u" direction="out"/></method>
    <signal name="Blinked"><arg name="number" type="u"/></signal>
    <signal name="Whispered"><arg name="text" type="s"/></signal>
    <property name="Level" type="d" access="readwrite"/>
    <property name="Kind" type="s" access="read">
      <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="const"/>
    </property>
    <property name="Reads" type="u" access="read">
      <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="false"/>
    </property>
  </interface>
  <interface name="org.example.Rack1">
    <method name="Add">
      <arg name="lamp" type="s" direction="in"/>
      <arg name="watts" type="u" direction="in"/>
    </method>
    <method name="Remove"><arg name="lamp" type="s" direction="in"/></method>
  </interface>
  <interface name="org.example.Bulb1">
    <property name="Watts" type="u" access="read"/>
  </interface>
  <interface name="org.freedesktop.DBus.ObjectManager">
    <method name="GetManagedObjects">
      <arg name="objects" type="a{oa{sa{sv}}}" direction="out"/>
    </method>
    <signal name="InterfacesAdded">
      <arg name="path" type="o"/><arg name="interfaces" type="a{sa{sv}}"/>
    </signal>
    <signal name="InterfacesRemoved">
      <arg name="path" type="o"/><arg name="interfaces" type="as"/>
    </signal>
  </interface>
</node>
"""

INTERFACES = {one.name: one for one in Gio.DBusNodeInfo.new_for_xml(XML).interfaces}


class Service:
    """What the objects share: the connection, and how they are put on it."""

    def __init__(self, bus):
        self.bus = bus

    def publish(self, path, interface, handler):
        """Puts an interface on the bus. A call of its method M is `handler.M(invocation, …)`, of a
        property P `handler.properties[P]`."""

        def call(_bus, _sender, _path, _interface, method, arguments, invocation):
            getattr(handler, method)(invocation, *arguments.unpack())

        def get(_bus, _sender, _path, _interface, name):
            return handler.get(name)

        def put(_bus, _sender, _path, _interface, name, value):
            handler.set(name, value)
            return True

        return self.bus.register_object(path, INTERFACES[interface], call, get, put)

    def tell(self, path, interface, signal, body=None, to=None):
        self.bus.emit_signal(to, path, interface, signal, body)


class Lamp:
    """/org/example/lamp"""

    interface = "org.example.Lamp1"

    def __init__(self, service):
        self.service = service
        self.level = 0.5
        self.reads = 0
        self.count = 0
        service.publish(LAMP, self.interface, self)

    def get(self, name):
        if name == "Level":
            return GLib.Variant("d", self.level)
        if name == "Kind":
            return GLib.Variant("s", "halogen")
        self.reads += 1
        return GLib.Variant("u", self.reads)

    def set(self, _name, value):
        self.level = value.unpack()
        changed = GLib.Variant("(sa{sv}as)", (self.interface, {"Level": value}, []))
        self.service.tell(LAMP, "org.freedesktop.DBus.Properties", "PropertiesChanged", changed)

    def Blink(self, invocation, times):
        for number in range(times):
            self.service.tell(LAMP, self.interface, "Blinked", GLib.Variant("(u)", (number,)))
        invocation.return_value(GLib.Variant("(s)", (f"blinked {times} times",)))

    def Fail(self, invocation):
        invocation.return_dbus_error(BROKEN, "the lamp is out")

    def Wait(self, _invocation):
        pass

    def Sender(self, invocation):
        invocation.return_value(GLib.Variant("(s)", (invocation.get_sender(),)))

    def Whisper(self, invocation, text):
        body = GLib.Variant("(s)", (text,))
        self.service.tell(LAMP, self.interface, "Whispered", body, to=invocation.get_sender())
        invocation.return_value(None)

    def Count(self, invocation):
        self.count += 1
        invocation.return_value(None)

    def Counted(self, invocation):
        invocation.return_value(GLib.Variant("(u)", (self.count,)))


class Bulb:
    """/org/example/rack/<lamp>"""

    interface = "org.example.Bulb1"

    def __init__(self, service, path, watts):
        self.watts = watts
        self.registration = service.publish(path, self.interface, self)

    def get(self, _name):
        return GLib.Variant("u", self.watts)

    def shown(self):
        return {self.interface: {"Watts": GLib.Variant("u", self.watts)}}


class Rack:
    """/org/example/rack"""

    manager = "org.freedesktop.DBus.ObjectManager"

    def __init__(self, service):
        self.service = service
        self.bulbs = {}
        service.publish(RACK, "org.example.Rack1", self)
        service.publish(RACK, self.manager, self)

    def GetManagedObjects(self, invocation):
        objects = {path: bulb.shown() for path, bulb in self.bulbs.items()}
        invocation.return_value(GLib.Variant("(a{oa{sa{sv}}})", (objects,)))

    def Add(self, invocation, lamp, watts):
        path = f"{RACK}/{lamp}"
        if path in self.bulbs:
            invocation.return_dbus_error(TAKEN, f"{lamp} is there already")
            return
        bulb = self.bulbs[path] = Bulb(self.service, path, watts)
        added = GLib.Variant("(oa{sa{sv}})", (path, bulb.shown()))
        self.service.tell(RACK, self.manager, "InterfacesAdded", added)
        invocation.return_value(None)

    def Remove(self, invocation, lamp):
        path = f"{RACK}/{lamp}"
        self.service.bus.unregister_object(self.bulbs.pop(path).registration)
        removed = GLib.Variant("(oas)", (path, [Bulb.interface]))
        self.service.tell(RACK, self.manager, "InterfacesRemoved", removed)
        invocation.return_value(None)


def main():
    loop = GLib.MainLoop()
    bus = Gio.bus_get_sync(Gio.BusType.SESSION)
    service = Service(bus)
    Lamp(service)
    Rack(service)
    Gio.bus_own_name_on_connection(
        bus,
        sys.argv[1] if len(sys.argv) > 1 else "org.example.Lamp",
        Gio.BusNameOwnerFlags.NONE,
        lambda _bus, _name: print("ready", flush=True),
        lambda _bus, _name: loop.quit(),
    )
    loop.run()


if __name__ == "__main__":
    main()
