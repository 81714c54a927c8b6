"""A program that speaks OSC with python-osc: one UDP socket that sends and listens, and connections of TCP.

    osc_peer.py PORT

Commands, a JSON object a line on stdin:

    {"send": [host, port, address, [values]]}
    {"bundle": [host, port, seconds ahead, [[address, [values]], ...]]}
    {"raw": [host, port, hex]}
    {"tcp": [host, port, mode, address, [values]]}      mode 1.0 (length) or 1.1 (SLIP); the connection stays

What comes is told as {"event": "message", "by": "udp" or "tcp", "address", "values"}, a JSON object a line on stdout.
"""

import json
import select
import socket
import sys
import time

from pythonosc import osc_bundle_builder, osc_message_builder, osc_packet, tcp_client


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def message(address, values):
    builder = osc_message_builder.OscMessageBuilder(address=address)
    for value in values:
        builder.add_arg(value)
    return builder.build()


def tell_packet(by, octets):
    packet = osc_packet.OscPacket(octets)
    for timed in packet.messages:
        values = [list(value) if isinstance(value, tuple) else value for value in timed.message.params]
        tell("message", by=by, address=timed.message.address, values=values)


class Peer:
    def __init__(self, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("0.0.0.0", port))
        self.connections = {}

    def do_send(self, host, port, address, values):
        self.socket.sendto(message(address, values).dgram, (host, port))

    def do_bundle(self, host, port, ahead, messages):
        builder = osc_bundle_builder.OscBundleBuilder(time.time() + ahead)
        for address, values in messages:
            builder.add_content(message(address, values))
        self.socket.sendto(builder.build().dgram, (host, port))

    def do_raw(self, host, port, octets):
        self.socket.sendto(bytes.fromhex(octets), (host, port))

    def do_tcp(self, host, port, mode, address, values):
        key = (host, port, mode)
        if key not in self.connections:
            self.connections[key] = tcp_client.SimpleTCPClient(host, port, mode=mode)
        client = self.connections[key]
        client.send_message(address, values)
        # Answers come at once, or not at all.
        for octets in client.receive(timeout=1):
            tell_packet("tcp", octets)

    def run(self):
        tell("ready")
        while True:
            readable, _, _ = select.select([self.socket, sys.stdin], [], [])
            if self.socket in readable:
                tell_packet("udp", self.socket.recv(65536))
            if sys.stdin in readable:
                line = sys.stdin.readline()
                if not line:
                    return
                for verb, arguments in json.loads(line).items():
                    getattr(self, "do_" + verb)(*arguments)
                    tell("done", command=verb)


Peer(int(sys.argv[1])).run()
