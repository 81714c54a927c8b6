"""A tablet's app: python-oscquery for what is there, python-osc to set it, websocket-client to listen.

    oscquery_peer.py find                       waits for an OSCQuery service on the network, and uses it
    oscquery_peer.py at HOST PORT               uses the one that is there

Commands, a JSON object a line on stdin; what happens is told the same way on stdout:

    {"node": [path]}                            {"event": "node", "description": …}
    {"get": [path and query]}                   {"event": "got", "status": …, "body": …}
    {"set": [address, [values]]}                with UDP, to where HOST_INFO says
    {"listen": [address]}, {"ignore": [address]}
    {"push": [address, [values]]}               through the WebSocket
    {"knock": [origin]}                         {"event": "knocked", "status": …}

What comes through the WebSocket is told as {"event": "message", "address", "values"} and {"event": "notice", …}.
"""

import json
import socket
import sys
import threading
import time

import requests
import websocket
from pythonosc import osc_message_builder, osc_packet, udp_client
from pythonoscquery.osc_query_browser import OSCQueryBrowser
from pythonoscquery.osc_query_client import OSCQueryClient
from zeroconf import ServiceInfo


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def find():
    browser = OSCQueryBrowser()
    while True:
        for service in browser.get_discovered_oscquery():
            if service is not None:
                tell("found", name=service.name, port=service.port)
                return service
        time.sleep(0.1)


def at(host, port):
    address = socket.inet_aton(host)
    return ServiceInfo("_oscjson._tcp.local.", "given._oscjson._tcp.local.", addresses=[address], port=int(port))


class App:
    def __init__(self, service):
        self.client = OSCQueryClient(service)
        self.host = socket.inet_ntoa(service.addresses[0])
        self.base = f"{self.host}:{service.port}"
        info = self.client.get_host_info()
        self.osc = udp_client.SimpleUDPClient(info.osc_ip, info.osc_port)
        self.socket = websocket.create_connection(f"ws://{self.base}/")
        threading.Thread(target=self.read, daemon=True).start()
        tell("ready", name=info.name, osc=[info.osc_ip, info.osc_port])

    def read(self):
        while True:
            kind, octets = self.socket.recv_data()
            if kind == websocket.ABNF.OPCODE_BINARY:
                for timed in osc_packet.OscPacket(octets).messages:
                    tell("message", address=timed.message.address, values=timed.message.params)
            elif kind == websocket.ABNF.OPCODE_TEXT:
                tell("notice", **json.loads(octets))
            elif kind == websocket.ABNF.OPCODE_CLOSE:
                return

    def do_node(self, path):
        node = self.client.query_node(path)
        tell("node", description=None if node is None else self.client.last_json)

    def do_get(self, path):
        answer = requests.get(f"http://{self.base}{path}")
        tell("got", status=answer.status_code, body=answer.json() if answer.content else None)

    def do_set(self, address, values):
        self.osc.send_message(address, values)

    def do_listen(self, address):
        self.socket.send(json.dumps({"COMMAND": "LISTEN", "DATA": address}))

    def do_ignore(self, address):
        self.socket.send(json.dumps({"COMMAND": "IGNORE", "DATA": address}))

    def do_push(self, address, values):
        builder = osc_message_builder.OscMessageBuilder(address=address)
        for value in values:
            builder.add_arg(value)
        self.socket.send_binary(builder.build().dgram)

    def do_knock(self, origin):
        try:
            websocket.create_connection(f"ws://{self.base}/", origin=origin)
            tell("knocked", status=101)
        except websocket.WebSocketBadStatusException as error:
            tell("knocked", status=error.status_code)


app = App(find() if sys.argv[1] == "find" else at(*sys.argv[2:]))
for line in sys.stdin:
    for verb, arguments in json.loads(line).items():
        getattr(app, "do_" + verb)(*arguments)
        tell("done", command=verb)
