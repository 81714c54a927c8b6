"""A gossip of CZMQ itself, `zgossip`, which is what zyre uses.

    czmq_gossip.py bind ENDPOINT | connect ENDPOINT

Commands, a JSON object a line on stdin: {"publish": [key, value]}. What others publish is told as
{"event": "delivered", "key", "value"}.
"""

import ctypes
import ctypes.util
import json
import sys
import threading

czmq = ctypes.CDLL(ctypes.util.find_library("czmq"))
czmq.zactor_new.restype = ctypes.c_void_p
czmq.zactor_new.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
czmq.zmsg_recv.restype = ctypes.c_void_p
czmq.zmsg_recv.argtypes = [ctypes.c_void_p]
czmq.zmsg_popstr.restype = ctypes.c_char_p
czmq.zmsg_popstr.argtypes = [ctypes.c_void_p]
gossip = ctypes.cast(czmq.zgossip, ctypes.c_void_p)
actor = czmq.zactor_new(gossip, b"gossip")


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


def order(*words):
    czmq.zstr_sendx(ctypes.c_void_p(actor), *(ctypes.c_char_p(word.encode()) for word in words), None)


def deliver():
    while True:
        message = czmq.zmsg_recv(actor)
        kind, key, value = (czmq.zmsg_popstr(message).decode() for _ in range(3))
        assert kind == "DELIVER", kind
        tell("delivered", key=key, value=value)


order(sys.argv[1].upper(), sys.argv[2])
threading.Thread(target=deliver, daemon=True).start()
tell("ready")
for line in sys.stdin:
    order("PUBLISH", *json.loads(line)["publish"])
