#!/usr/bin/python3
"""A D-Bus service that answers, fails and tells in every shape that there is, in either byte order.

    every_service.py [NAME]               the bus name, org.example.Every unless told otherwise

It reads and writes the bus's socket itself, with GLib (Debian: python3-gi) for the marshalling alone,
so that nothing between it and the bus has an opinion on what it sends. A call is answered in the byte
order in which it came. At every path, in whatever interface:

    Cases() → as                          the names of BODIES
    Echo(…) → …                           what came
    Give(s case) → …                      that body
    Fail(s error, s case)                 an error of that name with that body
    Tell(s case) → ()                     broadcasts the signal Told with that body first
    Whisper(s case) → ()                  the same to the caller alone
"""

import os
import socket
import sys

from gi.repository import Gio, GLib

NAME = sys.argv[1] if len(sys.argv) > 1 else "org.example.Every"
INTERFACE = "org.example.Every1"
BUS = "org.freedesktop.DBus"
NO_FLAGS = Gio.DBusCapabilityFlags.NONE


def nested(signature, value, depth):
    """`value` in `depth` structures, as a body."""
    for _ in range(depth):
        signature, value = f"({signature})", (value,)
    return GLib.Variant(f"({signature})", (value,))


def arrays(depth):
    value = [7]
    for _ in range(depth - 1):
        value = [value]
    return GLib.Variant(f"({'a' * depth}y)", (value,))


def variants(depth):
    value = GLib.Variant("y", 7)
    for _ in range(depth - 1):
        value = GLib.Variant("v", value)
    return GLib.Variant("(v)", (value,))


def octets(content):
    """An array of octets as a body, not octet by octet."""
    array = GLib.Variant.new_from_bytes(GLib.VariantType("ay"), GLib.Bytes(content), True)
    return GLib.Variant.new_tuple(array)


def variant(signature, *values):
    return GLib.Variant(signature, values)


# Nested as deep as the specification of D-Bus lets: 32 arrays, 32 structures, 64 containers.
BODIES = {
    "nothing": None,
    "bytes": variant("(yyy)", 0, 1, 255),
    "booleans": variant("(bb)", True, False),
    "16 bits": variant("(nnqq)", -(2**15), 2**15 - 1, 0, 2**16 - 1),
    "32 bits": variant("(iiuu)", -(2**31), 2**31 - 1, 0, 2**32 - 1),
    "64 bits": variant("(xxtt)", -(2**63), 2**63 - 1, 0, 2**64 - 1),
    "doubles": variant("(ddddd)", 0.0, -0.0, 5e-324, -1.7976931348623157e308, 2.5),
    "not a number": variant("(ddd)", float("nan"), float("inf"), float("-inf")),
    "strings": variant("(ssss)", "", "lamp", "Grün 🕯", "a\nb\t\x01"),
    "a huge string": variant("(s)", "ü" * 300_000),
    "paths": variant("(ooo)", "/", "/a", "/a_1/" + "b" * 500),
    "signatures": variant("(ggg)", "", "a{s(iv)}", "y"),
    "signatures of several types": variant("(gg)", "ss", "y" * 255),
    "many arguments": variant("(ybnqiuxtdsogv)", 1, True, -2, 3, -4, 5, -6, 7, 8.5, "s", "/o", "g", GLib.Variant("s", "v")),
    "sixty arguments": variant(f"({'ys' * 30})", *([9, "lamp"] * 30)),
    "alignment": variant("(yt(yq)aynadyb)", 1, 2, (3, 4), b"56789", 10, [11.5], 12, True),
    "empty arrays": variant("(ayasa{sv}a(tt)adaas)", b"", [], {}, [], [], [[], []]),
    "arrays": variant("(asaida(sd)aay)", ["a", "", "b"], [1, -2], 0.5, [("x", 1.0), ("y", -1.0)], [b"1", b"", b"23"]),
    "a long array": octets(bytes(range(256)) * 4096),
    "many strings": variant("(as)", [str(number) for number in range(5_000)]),
    "a dictionary": variant(
        "(a{sv})", {"n": GLib.Variant("i", 1), "d": GLib.Variant("a{sv}", {"v": GLib.Variant("v", GLib.Variant("as", ["x"]))})}
    ),
    "keys of every type": variant(
        "(a{yy}a{bs}a{ns}a{qs}a{is}a{us}a{xs}a{ts}a{ds}a{ss}a{os}a{gs})",
        {1: 2}, {True: "b"}, {-1: "n"}, {1: "q"}, {-1: "i"}, {1: "u"}, {-1: "x"}, {1: "t"}, {1.5: "d"}, {"": "s"}, {"/": "o"}, {"": "g"},
    ),
    "objects": variant("(a{oa{sa{sv}}})", {"/a": {"i.A": {"P": GLib.Variant("(dd)", (1.0, 2.0))}, "i.B": {}}, "/b": {}}),
    "variants": variant("(vvvv)", GLib.Variant("y", 1), GLib.Variant("(s(nd))", ("a", (2, 3.0))), GLib.Variant("as", []), GLib.Variant("g", "v")),
    "variants in variants": variants(60),
    "arrays in arrays": arrays(32),
    "one structure": variant("((dd))", (1.0, 2.0)),
    "structures in structures": nested("t", 2**63, 32),
}


class Bus:
    """A connection, message by message."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(os.environ["DBUS_SESSION_BUS_ADDRESS"].split("unix:path=")[1].split(",")[0])
        self.stream = self.socket.makefile("rb")
        self.serial = 0
        self.socket.sendall(b"\0AUTH EXTERNAL %s\r\n" % str(os.getuid()).encode().hex().encode())
        assert self.stream.readline().startswith(b"OK ")
        self.socket.sendall(b"BEGIN\r\n")
        self.ask("Hello")

    def ask(self, method, body=None):
        """Asks the bus itself."""
        call = Gio.DBusMessage.new_method_call(BUS, "/org/freedesktop/DBus", BUS, method)
        self.send(call, body)
        while self.receive().get_reply_serial() != self.serial:
            pass

    def send(self, message, body):
        self.serial += 1
        message.set_serial(self.serial)
        if body is not None:
            message.set_body(body)
        self.socket.sendall(message.to_blob(NO_FLAGS))

    def receive(self):
        blob = self.stream.read(16)
        if len(blob) < 16:
            sys.exit()
        blob += self.stream.read(Gio.DBusMessage.bytes_needed(blob) - 16)
        return Gio.DBusMessage.new_from_blob(blob, NO_FLAGS)


def failed(call, error):
    """An error, as yet without a body: those that Gio makes have a string in it."""
    answer = Gio.DBusMessage()
    answer.set_message_type(Gio.DBusMessageType.ERROR)
    answer.set_error_name(error)
    answer.set_reply_serial(call.get_serial())
    answer.set_destination(call.get_sender())
    return answer


def told(call, receiver, case):
    signal = Gio.DBusMessage.new_signal(call.get_path(), INTERFACE, "Told")
    signal.set_destination(receiver)
    return signal, BODIES[case]


def answers(call):
    """What a call leads to: messages and their bodies."""
    given = call.get_body()
    arguments = given.unpack() if given is not None and call.get_member() != "Echo" else ()
    answer = call.new_method_reply()
    match call.get_member(), arguments:
        case "Cases", ():
            return [(answer, GLib.Variant("(as)", (list(BODIES),)))]
        case "Echo", _:
            return [(answer, given)]
        case "Give", (name,):
            return [(answer, BODIES[name])]
        case "Fail", (error, name):
            return [(failed(call, error), BODIES[name])]
        case "Tell", (name,):
            return [told(call, None, name), (answer, None)]
        case "Whisper", (name,):
            return [told(call, call.get_sender(), name), (answer, None)]
    return [(failed(call, f"{BUS}.Error.UnknownMethod"), variant("(s)", "no such method"))]


def main():
    bus = Bus()
    bus.ask("RequestName", GLib.Variant("(su)", (NAME, 0)))
    print("ready", flush=True)
    while True:
        call = bus.receive()
        if call.get_message_type() != Gio.DBusMessageType.METHOD_CALL:
            continue
        for message, body in answers(call):
            message.set_byte_order(call.get_byte_order())
            bus.send(message, body)


if __name__ == "__main__":
    main()
