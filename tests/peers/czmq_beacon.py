#!/usr/bin/python3
"""The beacons of CZMQ, which are those of zyre, on IPv6.

    czmq_beacon.py PORT UUID MAILBOX [INTERFACE]

Sends the beacon of a node, UUID in hexadecimal and the port of its mailbox, and prints those that it hears, one JSON object
a line: {"from": ADDRESS, "uuid": UUID, "port": MAILBOX}. Says `ready` with the address that CZMQ chose.
"""

import ctypes
import ctypes.util
import json
import struct
import sys

czmq = ctypes.CDLL(ctypes.util.find_library("czmq") or "libczmq.so.4")
for name in ("zactor_new", "zstr_recv", "zframe_recv", "zframe_data"):
    getattr(czmq, name).restype = ctypes.c_void_p
czmq.zframe_size.restype = ctypes.c_size_t


def text(pointer):
    return ctypes.string_at(pointer).decode() if pointer else ""


port, uuid, mailbox = int(sys.argv[1]), bytes.fromhex(sys.argv[2]), int(sys.argv[3])
czmq.zsys_set_ipv6(1)
if len(sys.argv) > 4:
    czmq.zsys_set_interface(sys.argv[4].encode())
beacon = ctypes.c_void_p(czmq.zactor_new(ctypes.cast(czmq.zbeacon, ctypes.c_void_p), None))
czmq.zsock_send(beacon, b"si", b"CONFIGURE", ctypes.c_int(port))
print("ready", text(czmq.zstr_recv(beacon)), flush=True)
octets = b"ZRE\x01" + uuid + struct.pack(">H", mailbox)
czmq.zsock_send(beacon, b"sbi", b"PUBLISH", octets, ctypes.c_size_t(len(octets)), ctypes.c_int(1000))
czmq.zsock_send(beacon, b"sb", b"SUBSCRIBE", b"ZRE", ctypes.c_size_t(3))
while True:
    source = text(czmq.zstr_recv(beacon))
    if not source:
        break
    frame = ctypes.c_void_p(czmq.zframe_recv(beacon))
    heard = ctypes.string_at(czmq.zframe_data(frame), czmq.zframe_size(frame))
    if len(heard) == 22:
        told = {"from": source, "uuid": heard[4:20].hex(), "port": struct.unpack(">H", heard[20:])[0]}
        print(json.dumps(told), flush=True)
