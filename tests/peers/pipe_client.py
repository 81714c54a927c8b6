#!/usr/bin/env python3
"""A client of pipe_service.py: pipe_client.py NAME WHAT"""
import hashlib
import os
import socket
import sys
import threading

import dbus

bus = dbus.SessionBus()
pipes = dbus.Interface(bus.get_object(sys.argv[1], "/pipes"), "org.example.Pipes")
what = sys.argv[2]


def send(blocks):
    reader, writer = os.pipe()
    digest = hashlib.sha256()

    def write():
        with os.fdopen(writer, "wb") as file:
            for number in range(blocks):
                octets = os.urandom(65536)
                digest.update(octets)
                file.write(octets)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    fd = dbus.types.UnixFd(reader)
    os.close(reader)
    found = pipes.Sum(fd, timeout=120)
    thread.join()
    assert found == digest.hexdigest(), (found, digest.hexdigest())


def receive(blocks):
    fd, wanted = pipes.Film(dbus.UInt32(blocks))
    digest = hashlib.sha256()
    with os.fdopen(fd.take(), "rb") as file:
        while octets := file.read(65536):
            digest.update(octets)
    assert digest.hexdigest() == wanted


def echo(kind, sizes):
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    pipes.Echo(dbus.types.UnixFd(theirs))
    theirs.close()
    for size in sizes:
        octets = os.urandom(size)
        ours.sendall(octets)
        got = b""
        while len(got) < size:
            part = ours.recv(200000)
            assert part, "the end came early"
            assert kind == socket.SOCK_STREAM or len(part) == size, (len(part), size)
            got += part
        assert got == octets
    ours.shutdown(socket.SHUT_WR)
    assert ours.recv(1) == b""


if what == "send":
    send(1600)
elif what == "receive":
    receive(1600)
elif what == "stream":
    echo(socket.SOCK_STREAM, [1, 100000, 3000000 // 100])
elif what == "packets":
    echo(socket.SOCK_SEQPACKET, [1, 7, 1400, 65000, 100001])
elif what == "stop":
    fd, _ = pipes.Film(dbus.UInt32(100))
    os.read(fd.take(), 10)
elif what == "refused":
    for path, flags in [("/", os.O_RDONLY), ("/dev/null", os.O_RDWR), ("/etc/hostname", os.O_RDONLY)]:
        opened = os.open(path, flags)
        try:
            pipes.Echo(dbus.types.UnixFd(opened))
            sys.exit(f"{path} was not refused")
        except dbus.DBusException as error:
            print(error.get_dbus_name(), error.get_dbus_message(), flush=True)
elif what == "hold":
    fd = pipes.Inhibit("show")
    print("held", flush=True)
    sys.stdin.readline()
    sys.exit(0)
elif what == "many":
    for _ in range(300):
        reader, writer = os.pipe()
        fd = dbus.types.UnixFd(reader)
        os.close(reader)
        os.write(writer, b"x" * 100)
        os.close(writer)
        pipes.Sum(fd, timeout=60)
print("done", flush=True)
