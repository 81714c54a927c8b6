#!/usr/bin/python3
"""The lamp follows the fader: read, set and follow mirrored nodes from Python.

Start `zocp demo`, then in another shell: python3 examples/follow.py [COUNT]
COUNT is how many signals to follow; without it, until Ctrl-C.
Needs dasbus (Debian: python3-dasbus).
"""

import sys

from dasbus.connection import SessionMessageBus
from dasbus.error import DBusError
from dasbus.loop import EventLoop

NODE = "/org/z25/Zocp1/Node"
VALUES = "org.z25.Zocp1.Values"
SIGNALS = "org.z25.Zocp1.Signals"


def main():
    left = int(sys.argv[1]) if len(sys.argv) > 1 else None
    bus = SessionMessageBus()
    lamp = bus.get_proxy("org.z25.Zocp1.Node.lamp", NODE, VALUES)
    fader = bus.get_proxy("org.z25.Zocp1.Node.fader", NODE, SIGNALS)
    loop = EventLoop()

    # Read: a property, natively typed.
    print("brightness is", lamp.brightness)

    # Set: the node itself is asked, and what it cannot be is refused.
    try:
        lamp.brightness = 2.0
    except DBusError as error:
        print("refused:", error)

    # Follow: each emission of the fader is a signal.
    def moved(level):
        nonlocal left
        lamp.brightness = level
        print("brightness is now", lamp.brightness)
        if left is not None:
            left -= 1
            if left <= 0:
                loop.quit()

    fader.level.connect(moved)
    try:
        loop.run()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
