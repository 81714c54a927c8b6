#!/usr/bin/python3
"""A dimmer of this machine on the mesh: a value that others set and wire, and a method that they call.

Start `zocp bridge` (or `zocp demo`), then in another shell: python3 examples/sensor.py [COUNT]
COUNT is how many arrivals to print; without it, until Ctrl-C. From any machine of the mesh:
    zocp set HOST dimmer 0.5
    zocp call HOST blink 3
Needs dasbus (Debian: python3-dasbus).
"""

import sys

from dasbus.connection import SessionMessageBus
from dasbus.loop import EventLoop
from dasbus.server.interface import dbus_interface
from dasbus.typing import Bool, Double, Int64, List, Str, Tuple, get_variant

BRIDGE, LOCAL = "org.z25.Zocp1", "/org/z25/Zocp1/Local"


@dbus_interface("org.example.Dimmer")
class Dimmer:
    """What the bridge calls for us."""

    def Blink(self, times: Int64) -> Bool:
        print("blink", times)
        return times > 0


def main():
    left = int(sys.argv[1]) if len(sys.argv) > 1 else None
    bus, loop = SessionMessageBus(), EventLoop()
    local = bus.get_proxy(BRIDGE, LOCAL, "org.z25.Zocp1.Local")

    # Publish: from here on every node of the mesh sees it.
    options = {"Access": get_variant(Str, "rwes"), "Max": get_variant(Double, 1.0)}
    local.Publish("dimmer", get_variant(Double, 0.0), options)

    # Offer a method: the bridge calls it here.
    bus.publish_object("/dimmer", Dimmer())
    pairs = List[Tuple[Str, Str]]
    options = {
        "In": get_variant(pairs, [("times", "int")]),
        "Out": get_variant(pairs, [("ok", "bool")]),
    }
    local.PublishMethod("blink", "/dimmer", "org.example.Dimmer", "Blink", options)

    # Emit: each time the property is set, also to the same value.
    bus.get_proxy(BRIDGE, LOCAL, "org.z25.Zocp1.Values").dimmer = 0.25

    # Sense: whoever sets it, and whatever is wired to it.
    def arrived(level):
        nonlocal left
        print("dimmer is now", level)
        if left is not None:
            left -= 1
            if left <= 0:
                loop.quit()

    bus.get_proxy(BRIDGE, LOCAL, "org.z25.Zocp1.Signals").dimmer.connect(arrived)
    print("dimmer is on the mesh", flush=True)
    try:
        loop.run()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
