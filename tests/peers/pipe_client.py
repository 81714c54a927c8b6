#!/usr/bin/env python3
"""A client of pipe_service.py: pipe_client.py NAME WHAT"""
import hashlib
import os
import socket
import sys
import tempfile
import threading

import dbus
import dbus.service
from dbus.mainloop.glib import DBusGMainLoop
from gi.repository import GLib

DBusGMainLoop(set_as_default=True)
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


def files():
    octets = os.urandom(20_000_000)
    with tempfile.TemporaryFile() as file:
        file.write(octets)
        file.flush()
        # What follows a file waits for it.
        opened = os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY)
        os.lseek(opened, 1000, os.SEEK_SET)
        pipes.Store(dbus.types.UnixFd(opened), ignore_reply=True)
        assert pipes.Stored() == hashlib.sha256(octets[1000:]).hexdigest()
        assert os.lseek(opened, 0, os.SEEK_CUR) == 1000
        os.close(opened)
        try:
            pipes.Store(dbus.types.UnixFd(file.fileno()))
            sys.exit("a file that can be written was not refused")
        except dbus.DBusException as error:
            assert "opened for writing" in error.get_dbus_message(), error
    fd, wanted = pipes.Document(dbus.UInt32(100))
    fd = fd.take()
    try:
        os.pwrite(fd, b"x", 0)
        sys.exit("the copy can be written")
    except PermissionError:
        pass
    with os.fdopen(fd, "rb") as file:
        assert hashlib.sha256(file.read()).hexdigest() == wanted


def numbers():
    """Whether the descriptors themselves come, in calls, in replies, and files."""
    reader, writer = os.pipe()
    file = os.open(sys.argv[0], os.O_RDONLY)
    ours = [os.fstat(fd).st_ino for fd in (reader, file)]
    theirs = [pipes.Number(dbus.types.UnixFd(fd)) for fd in (reader, file)]
    for fd in (reader, writer, file):
        os.close(fd)
    fd, number = pipes.Numbered()
    fd = fd.take()
    ours.append(os.fstat(fd).st_ino)
    os.close(fd)
    theirs.append(number)
    print(*("itself" if our == their else "another" for our, their in zip(ours, theirs)), flush=True)


def lent():
    class Taker(dbus.service.Object):
        @dbus.service.method("org.example.Taker", "h", "s")
        def Take(self, fd):
            with os.fdopen(fd.take(), "rb") as file:
                return file.read().decode()

    Taker(bus, "/taker")
    loop = GLib.MainLoop()
    answers = []

    def done(answer):
        answers.append(str(answer))
        loop.quit()

    pipes.Lend(reply_handler=done, error_handler=done)
    loop.run()
    assert answers == ["lent"], answers


if what == "send":
    send(1600)
elif what == "receive":
    receive(1600)
elif what == "stream":
    echo(socket.SOCK_STREAM, [1, 100000, 3000000 // 100])
elif what == "packets":
    echo(socket.SOCK_SEQPACKET, [1, 7, 1400, 65000, 100001])
elif what == "stop":
    # More than all buffers on the way take.
    fd, _ = pipes.Film(dbus.UInt32(1600))
    os.read(fd.take(), 10)
elif what == "refused":
    for path, flags in [("/", os.O_RDONLY), ("/dev/null", os.O_RDWR), ("/etc/hostname", os.O_RDONLY)]:
        opened = os.open(path, flags)
        try:
            pipes.Echo(dbus.types.UnixFd(opened))
            sys.exit(f"{path} was not refused")
        except dbus.DBusException as error:
            print(error.get_dbus_name(), error.get_dbus_message(), flush=True)
elif what == "files":
    files()
elif what == "numbers":
    numbers()
elif what == "lent":
    lent()
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
