#!/usr/bin/env python3
"""A service whose methods pass pipes and sockets: pipe_service.py NAME"""
import fcntl
import hashlib
import os
import socket
import sys
import threading

import dbus
import dbus.service
from dbus.mainloop.glib import DBusGMainLoop
from gi.repository import GLib

INTERFACE = "org.example.Pipes"


def block(number):
    return hashlib.sha256(str(number).encode()).digest() * 2048


class Pipes(dbus.service.Object):
    @dbus.service.method(INTERFACE, "h", "s", async_callbacks=("done", "failed"))
    def Sum(self, fd, done, failed):
        """The checksum of all that comes from a pipe or a socket."""
        file = os.fdopen(fd.take(), "rb")

        def read():
            digest = hashlib.sha256()
            while octets := file.read(65536):
                digest.update(octets)
            file.close()
            GLib.idle_add(done, digest.hexdigest())

        threading.Thread(target=read, daemon=True).start()

    @dbus.service.method(INTERFACE, "u", "hs")
    def Film(self, blocks):
        """The reading end of a pipe with so many blocks of 64 KiB, and their checksum."""
        reader, writer = os.pipe()
        digest = hashlib.sha256()
        for number in range(blocks):
            digest.update(block(number))

        def write():
            with os.fdopen(writer, "wb") as file:
                try:
                    for number in range(blocks):
                        file.write(block(number))
                except BrokenPipeError:
                    print("broken pipe", flush=True)

        threading.Thread(target=write, daemon=True).start()
        fd = dbus.types.UnixFd(reader)
        os.close(reader)
        return fd, digest.hexdigest()

    @dbus.service.method(INTERFACE, "h", "t")
    def Number(self, fd):
        """What tells the file of a descriptor from others."""
        with os.fdopen(fd.take(), "rb") as file:
            return os.fstat(file.fileno()).st_ino

    @dbus.service.method(INTERFACE, "", "ht")
    def Numbered(self):
        """The writing end of a pipe, and its number."""
        reader, writer = os.pipe()
        os.close(reader)
        number, fd = os.fstat(writer).st_ino, dbus.types.UnixFd(writer)
        os.close(writer)
        return fd, number

    @dbus.service.method(INTERFACE, "h", "")
    def Echo(self, fd):
        """Sends back what comes, packet by packet, until the end."""
        sock = socket.socket(fileno=fd.take())

        def echo():
            while octets := sock.recv(200000):
                sock.sendall(octets)
            sock.close()
            print("echo is over", flush=True)

        threading.Thread(target=echo, daemon=True).start()

    @dbus.service.method(INTERFACE, "h", "")
    def Store(self, fd):
        """Keeps what is in a file, from where it is."""
        with os.fdopen(fd.take(), "rb") as file:
            self.stored = file.read()

    @dbus.service.method(INTERFACE, "", "s")
    def Stored(self):
        """The checksum of what was stored."""
        return hashlib.sha256(self.stored).hexdigest()

    @dbus.service.method(INTERFACE, "u", "hs")
    def Document(self, blocks):
        """A file with so many blocks of 64 KiB, and their checksum."""
        octets = b"".join(block(number) for number in range(blocks))
        fd = os.memfd_create("document", os.MFD_ALLOW_SEALING)
        os.write(fd, octets)
        os.lseek(fd, 0, os.SEEK_SET)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
        document = dbus.types.UnixFd(fd)
        os.close(fd)
        return document, hashlib.sha256(octets).hexdigest()

    @dbus.service.method(INTERFACE, "", "s", sender_keyword="caller", async_callbacks=("done", "failed"))
    def Lend(self, caller, done, failed):
        """Gives the caller a pipe by a call of it; its answer."""
        reader, writer = os.pipe()
        os.write(writer, b"lent")
        os.close(writer)
        fd = dbus.types.UnixFd(reader)
        os.close(reader)
        taker = dbus.Interface(bus.get_object(caller, "/taker", introspect=False), "org.example.Taker")
        taker.Take(fd, reply_handler=done, error_handler=failed)

    @dbus.service.method(INTERFACE, "s", "h")
    def Inhibit(self, why):
        """A lock that is held as long as its descriptor is open, as logind has it."""
        reader, writer = os.pipe()
        print("locked", flush=True)

        def wait():
            os.read(reader, 1)
            os.close(reader)
            print("released", flush=True)

        threading.Thread(target=wait, daemon=True).start()
        fd = dbus.types.UnixFd(writer)
        os.close(writer)
        return fd


DBusGMainLoop(set_as_default=True)
bus = dbus.SessionBus()
name = dbus.service.BusName(sys.argv[1], bus)
pipes = Pipes(bus, "/pipes")
print("ready", flush=True)
GLib.MainLoop().run()
