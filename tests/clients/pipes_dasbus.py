#!/usr/bin/env python3
"""A client of tests/peers/pipe_service.py with dasbus (Debian: python3-dasbus): pipes_dasbus.py NAME"""

import hashlib
import os
import socket
import sys
import tempfile

from dasbus.connection import SessionMessageBus
from dasbus.unix import GLibClientUnix

bus = SessionMessageBus()
# What is passed is closed by the call.
pipes = bus.get_proxy(sys.argv[1], "/pipes", client=GLibClientUnix)

reader, writer = os.pipe()
os.write(writer, b"through a pipe")
os.close(writer)
assert pipes.Sum(reader) == hashlib.sha256(b"through a pipe").hexdigest()
print("a pipe was read")

with tempfile.NamedTemporaryFile() as file:
    file.write(b"a file")
    file.flush()
    with open(file.name, "rb") as opened:
        assert pipes.Sum(os.dup(opened.fileno())) == hashlib.sha256(b"a file").hexdigest()
print("a file was read")

film, wanted = pipes.Film(40)
with os.fdopen(film, "rb") as film:
    assert hashlib.sha256(film.read()).hexdigest() == wanted
print("a pipe came")

ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
pipes.Echo(theirs.detach())
ours.send(b"a packet")
assert ours.recv(100) == b"a packet"
print("a packet came back")
