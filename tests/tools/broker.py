#!/usr/bin/env python3
"""dbus-broker as dbus-daemon is started: `broker.py --session --nofork --print-address --address=unix:path=PATH`, or
with `--config-file=FILE` in place of `--session`.

dbus-broker's launcher takes its socket and its log from systemd. This makes it the socket, and a log of its own in a
mount namespace, and passes on what is logged. It ends with the launcher, and the launcher with it.
"""
import ctypes
import os
import re
import signal
import socket
import sys

CLONE_NEWNS, MS_REC, MS_PRIVATE, PR_SET_PDEATHSIG = 0x20000, 0x4000, 1 << 18, 1
CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow receive_sender="*" eavesdrop="true"/>
  </policy>
  SERVICES
</busconfig>
"""
libc = ctypes.CDLL(None, use_errno=True)


def main():
    options = dict(option.partition("=")[::2] for option in sys.argv[1:])
    config = options.get("--config-file")
    address = options.get("--address") or listened_at(config)
    path = re.match("unix:path=([^,;]+)", address)[1]
    log = private_journal()
    config = config or written(path)
    listener = socket.socket(socket.AF_UNIX)
    if os.path.exists(path):
        os.unlink(path)
    listener.bind(path)
    os.chmod(path, 0o777)
    listener.listen(128)
    launcher = launch(listener, config, address)
    listener.close()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.kill(launcher, signal.SIGTERM))
    print(address, flush=True)
    pass_on(log, launcher)


def listened_at(config):
    with open(config, encoding="utf-8") as file:
        return re.search("<listen>([^<]+)</listen>", file.read())[1]


def is_of_system(config):
    with open(config, encoding="utf-8") as file:
        return "<type>system</type>" in file.read()


def written(path):
    """A configuration like that of a session: everybody may do everything."""
    folders = os.environ.get("XDG_DATA_DIRS", "").split(":") + [os.environ.get("XDG_DATA_HOME", "")]
    folders = [f"<servicedir>{folder}/dbus-1/services</servicedir>" for folder in folders if folder]
    with open(path + ".conf", "w", encoding="utf-8") as file:
        file.write(CONFIG.replace("SERVICES", "".join(folders)))
    return path + ".conf"


def private_journal():
    """What the launcher logs to, where nobody else sees it."""
    if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None):
        sys.exit(f"no mount namespace: {os.strerror(ctypes.get_errno())}")
    os.makedirs("/run/systemd", exist_ok=True)
    if libc.mount(b"tmpfs", b"/run/systemd", b"tmpfs", 0, None):
        sys.exit(f"no journal: {os.strerror(ctypes.get_errno())}")
    os.makedirs("/run/systemd/journal")
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind("/run/systemd/journal/socket")
    return log


def launch(listener, config, address):
    """`dbus-broker-launch` with the socket, as systemd would start it; its process."""
    launcher = os.fork()
    if launcher:
        return launcher
    # It ends with this process, however that ends.
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.dup2(listener.fileno(), 3, inheritable=True)
    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
    # Where it asks systemd to start services: nobody there does.
    os.environ.update(DBUS_SESSION_BUS_ADDRESS=address, DBUS_SYSTEM_BUS_ADDRESS=address)
    scope = "system" if is_of_system(config) else "user"
    os.execvp("dbus-broker-launch", ["dbus-broker-launch", "--scope", scope, "--config-file", config])


def pass_on(log, launcher):
    """Says what is logged until the launcher ends, and ends like it."""
    log.settimeout(0.2)
    while True:
        try:
            fields = log.recv(65536).decode(errors="replace")
            said = re.search("^MESSAGE=(.*)$", fields, re.M)
            print(said[1] if said else fields, file=sys.stderr, flush=True)
        except TimeoutError:
            ended, status = os.waitpid(launcher, os.WNOHANG)
            if ended:
                sys.exit(os.waitstatus_to_exitcode(status) and 1)


main()
