"""Programs for DMX over networks: PyPI's sacn and stupidArtnet.

    dmx_peer.py sacn-hear ADDRESS UNIVERSE
    dmx_peer.py sacn-send ADDRESS UNIVERSE PRIORITY
    dmx_peer.py artnet-hear UNIVERSE
    dmx_peer.py artnet-send TARGET UNIVERSE

What is heard is told as {"event": "frame", "priority", "slots": [the first 24]} whenever it is another one, and
{"event": "gone"}, a JSON object a line on stdout. Who sends takes {"slots": [...]} on stdin.
"""

import json
import sys
import threading

import sacn
from stupidArtnet import StupidArtnet, StupidArtnetServer


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Hearer:
    def __init__(self):
        self.last = None

    def hear(self, slots, priority=None):
        slots = list(slots[:24])
        if slots != self.last:
            self.last = slots
            tell("frame", priority=priority, slots=slots)


def sacn_hear(address, universe):
    hearer = Hearer()
    receiver = sacn.sACNreceiver(bind_address=address)
    receiver.start()

    @receiver.listen_on("universe", universe=int(universe))
    def heard(packet):
        hearer.hear(packet.dmxData, packet.priority)

    @receiver.listen_on("availability")
    def available(universe, changed):
        if changed == "timeout":
            tell("gone")

    receiver.join_multicast(int(universe))
    tell("ready")
    threading.Event().wait()


def sacn_send(address, universe, priority):
    sender = sacn.sACNsender(bind_address=address)
    sender.start()
    sender.activate_output(int(universe))
    sender[int(universe)].multicast = True
    sender[int(universe)].priority = int(priority)
    tell("ready")
    for line in sys.stdin:
        sender[int(universe)].dmx_data = tuple(json.loads(line)["slots"])


def artnet_hear(universe):
    hearer = Hearer()
    server = StupidArtnetServer()
    server.register_listener(int(universe), callback_function=hearer.hear)
    tell("ready")
    threading.Event().wait()


def artnet_send(target, universe):
    artnet = StupidArtnet(target, int(universe), 64, 30, True, False)
    artnet.start()
    tell("ready")
    for line in sys.stdin:
        slots = json.loads(line)["slots"]
        artnet.set(bytearray(slots + [0] * (64 - len(slots))))


globals()[sys.argv[1].replace("-", "_")](*sys.argv[2:])
