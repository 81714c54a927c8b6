#!/usr/bin/python3
"""What systemd-resolved answers to ResolveService: one record, _zocp._tcp.venue.example, at the address in RESOLVED_HOST.

    resolved.py NAME

It stands on GDBus (Debian: python3-gi) and says `ready` when it has its name.
"""

import os
import sys

from gi.repository import Gio, GLib

XML = """
<node>
  <interface name="org.freedesktop.resolve1.Manager">
    <method name="ResolveService">
      <arg type="i" direction="in"/>
      <arg type="s" direction="in"/>
      <arg type="s" direction="in"/>
      <arg type="s" direction="in"/>
      <arg type="i" direction="in"/>
      <arg type="t" direction="in"/>
      <arg type="a(qqqsa(iiay)s)" direction="out"/>
      <arg type="aay" direction="out"/>
      <arg type="s" direction="out"/>
      <arg type="s" direction="out"/>
      <arg type="s" direction="out"/>
      <arg type="t" direction="out"/>
    </method>
  </interface>
</node>
"""
NO_TXT_NO_ADDRESS = 3 << 6


def called(_connection, _sender, _path, _interface, _member, arguments, invocation):
    interface, name, kind, domain, family, flags = arguments
    if (interface, name, kind, family, flags) != (0, "", "", 0, NO_TXT_NO_ADDRESS):
        invocation.return_dbus_error("org.freedesktop.DBus.Error.InvalidArgs", str(arguments))
    elif domain != "_zocp._tcp.venue.example":
        invocation.return_dbus_error("org.freedesktop.resolve1.DnsError.NXDOMAIN", f"'{domain}' not found")
    else:
        host = os.environ["RESOLVED_HOST"]
        records = [(1, 1, 5671, host, [], host)]
        answer = (records, [], "", "_zocp._tcp", "venue.example", 1)
        invocation.return_value(GLib.Variant("(a(qqqsa(iiay)s)aaysss" + "t)", answer))


def on_bus(connection, _name):
    info = Gio.DBusNodeInfo.new_for_xml(XML)
    connection.register_object("/org/freedesktop/resolve1", info.interfaces[0], called, None, None)


def named(_connection, _name):
    print("ready", flush=True)


Gio.bus_own_name(Gio.BusType.SESSION, sys.argv[1], Gio.BusNameOwnerFlags.NONE, on_bus, named, None)
GLib.MainLoop().run()
