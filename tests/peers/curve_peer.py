#!/usr/bin/env python3
"""Sockets of libzmq with CURVE, as zyre has them, under the hand of a test.

A ROUTER is the server with the key of --secret (Z85); each DEALER is a client with the same key.
Commands come as one JSON object a line on stdin, events go as one JSON object a line to stdout; octets
are in hexadecimal.

    {"dial": [endpoint, server_key, identity]}   a DEALER; messages can be sent at once
    {"send": [frame, ...]}                       on the newest DEALER
    {"reply": [identity, frame, ...]}            on the ROUTER
    {"beacon": [octets, address, port]}          a datagram
    {"allow": [key, ...]}                        who may connect to the ROUTER; without it anybody

    {"event": "ready", "endpoint", "key"}        the ROUTER listens
    {"event": "message", "at": "router" or "dealer", "frames": [...]}
    {"event": "handshake", "at", "what"}         as libzmq's monitor tells: SUCCEEDED or FAILED_...
"""

import argparse
import json
import socket
import sys

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message


def tell(event, **fields):
    """Writes one event line."""
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


class Peer:
    """One ROUTER, any number of DEALERs."""

    def __init__(self, secret, listen, heartbeat):
        self.context = zmq.Context()
        self.poller = zmq.Poller()
        self.monitors = {}
        self.secret = secret.encode()
        self.key = zmq.curve_public(self.secret)
        self.heartbeat = heartbeat
        self.dealer = None
        self.authenticator = None
        self.router = self.socket(zmq.ROUTER, "router")
        self.router.curve_server = True
        self.router.curve_secretkey = self.secret
        port = self.router.bind_to_random_port(f"tcp://{listen}")
        self.poller.register(self.router, zmq.POLLIN)
        self.poller.register(sys.stdin, zmq.POLLIN)
        tell("ready", endpoint=f"tcp://{listen}:{port}", key=self.key.decode())

    def socket(self, kind, name):
        made = self.context.socket(kind)
        made.linger = 0
        if self.heartbeat:
            made.heartbeat_ivl = self.heartbeat
        monitor = made.get_monitor_socket()
        self.monitors[monitor] = name
        self.poller.register(monitor, zmq.POLLIN)
        return made

    def run(self):
        while True:
            for ready, _ in self.poller.poll():
                if ready in self.monitors:
                    self.monitored(ready)
                elif ready in (self.router, self.dealer):
                    at = "router" if ready is self.router else "dealer"
                    frames = [frame.hex() for frame in ready.recv_multipart()]
                    tell("message", at=at, frames=frames)
                else:
                    line = sys.stdin.readline()
                    if not line:
                        return
                    ((verb, argument),) = json.loads(line).items()
                    getattr(self, "do_" + verb)(argument)
                    tell("done", command=verb)

    def monitored(self, monitor):
        event = zmq.Event(recv_monitor_message(monitor)["event"]).name
        if event.startswith("HANDSHAKE_"):
            tell("handshake", at=self.monitors[monitor], what=event.removeprefix("HANDSHAKE_"))

    def do_dial(self, argument):
        endpoint, server_key, identity = argument
        self.dealer = self.socket(zmq.DEALER, "dealer")
        self.dealer.curve_publickey = self.key
        self.dealer.curve_secretkey = self.secret
        self.dealer.curve_serverkey = server_key.encode()
        self.dealer.identity = bytes.fromhex(identity)
        self.dealer.connect(endpoint)
        self.poller.register(self.dealer, zmq.POLLIN)

    def do_send(self, frames):
        self.dealer.send_multipart([bytes.fromhex(frame) for frame in frames])

    def do_reply(self, frames):
        self.router.send_multipart([bytes.fromhex(frame) for frame in frames])

    def do_beacon(self, argument):
        octets, address, port = argument
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sender.sendto(bytes.fromhex(octets), (address, port))

    def do_allow(self, keys):
        self.authenticator = ThreadAuthenticator(self.context)
        self.authenticator.start()
        allowed = {key.encode() for key in keys}

        class Keys:
            """Who may connect."""

            def callback(self, domain, key):
                del domain
                return key in allowed

        self.authenticator.configure_curve_callback(credentials_provider=Keys())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--secret", required=True)
    parser.add_argument("--listen", default="127.0.0.1")
    parser.add_argument("--heartbeat", type=int, default=0, help="milliseconds")
    options = parser.parse_args()
    Peer(options.secret, options.listen, options.heartbeat).run()


if __name__ == "__main__":
    main()
