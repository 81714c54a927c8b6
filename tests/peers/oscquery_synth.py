"""A synthesizer with an OSCQuery server: python-oscquery for what it has, python-osc for what it is sent.

    oscquery_synth.py HOST HTTP_PORT OSC_PORT

It has /filter/cutoff and /voice/on. Commands, a JSON object a line on stdin: {"turn": [address, value]} changes a value
by itself, {"add": [address, value]} adds an address. What it is sent is told as {"event": "sent", "address", "values"}.
"""

import json
import sys
import threading

from pythonosc.dispatcher import Dispatcher
from pythonosc.osc_server import ThreadingOSCUDPServer
from pythonoscquery.osc_query_service import OSCQueryService
from pythonoscquery.shared.osc_access import OSCAccess
from pythonoscquery.shared.osc_address_space import OSCAddressSpace
from pythonoscquery.shared.osc_path_node import OSCPathNode
from pythonoscquery.shared.oscquery_spec import OSCQueryAttribute


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Synth:
    def __init__(self, host, http_port, osc_port):
        self.space = OSCAddressSpace()
        self.add("/filter/cutoff", 0.5)
        self.add("/voice/on", True)
        dispatcher = Dispatcher()
        dispatcher.set_default_handler(self.sent)
        server = ThreadingOSCUDPServer((host, osc_port), dispatcher)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        OSCQueryService(self.space, "synth", http_port, osc_port, host).start()
        tell("ready")

    def add(self, address, value):
        self.space.add_node(OSCPathNode(address, access=OSCAccess.READWRITE_VALUE, value=value))

    def turn(self, address, value):
        with self.space.lock:
            self.space.find_node(address).attributes[OSCQueryAttribute.VALUE] = [value]

    def sent(self, address, *values):
        self.turn(address, values[0])
        tell("sent", address=address, values=list(values))


synth = Synth(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
for line in sys.stdin:
    (verb, arguments), = json.loads(line).items()
    {"add": synth.add, "turn": synth.turn}[verb](*arguments)
