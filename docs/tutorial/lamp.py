#!/usr/bin/env python3
"""A lamp with a fader: a ZOCP node in Python, on pyre alone.

Needs pyre (PyPI: zeromq-pyre). Others set `brightness`; a number from 0 to 1 typed here moves
`fader`, and everyone who follows this node is told. The tutorial: docs/tutorial/first-evening.md
"""

import json
import sys
import uuid

import zmq
from pyre import Pyre


def capability(access):
    return {"value": 0.0, "typeHint": "flt", "access": access, "min": 0.0, "max": 1.0, "subscribers": []}


tree = {"brightness": capability("rw"), "fader": capability("re")}
followers = set()

node = Pyre("lamp")
node.set_header("X-ZOCP", "1")
node.join("ZOCP")
node.start()
print("lamp is on the mesh", flush=True)


def tell(peer, message):
    node.whisper(peer, json.dumps(message).encode())


def heard(peer, message):
    for verb, payload in message.items():
        if verb == "GET":
            tell(peer, {"MOD": tree})
        elif verb == "SUB":
            followers.add(peer)
        elif verb == "UNSUB":
            followers.discard(peer)
        elif verb == "SET" and "brightness" in payload:
            value = payload["brightness"]["value"]
            tree["brightness"]["value"] = value
            print(f"brightness {value:4.2f} " + "#" * round(40 * value), flush=True)


def move_fader(value):
    tree["fader"]["value"] = value
    for peer in followers:
        tell(peer, {"SIG": ["fader", value]})


sources = zmq.Poller()
sources.register(node.socket(), zmq.POLLIN)
sources.register(sys.stdin, zmq.POLLIN)
while True:
    ready = dict(sources.poll())
    if node.socket() in ready:
        kind, peer, _name, *content = node.recv()
        peer = uuid.UUID(bytes=peer)
        if kind == b"WHISPER":
            heard(peer, json.loads(content[0]))
        elif kind == b"EXIT":
            followers.discard(peer)
    if sys.stdin.fileno() in ready:
        line = sys.stdin.readline()
        if not line:
            break
        move_fader(float(line))
node.stop()
