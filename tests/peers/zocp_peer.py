#!/usr/bin/env python3
"""A ZOCP peer for the tests: PyPI's pyre underneath, the habits of pyZOCP on the wire.

Commands come as one JSON object a line on stdin, events go as one JSON object a line to stdout,
so that a test drives it and sees what the node saw. A peer is named by its name or its UUID.

    {"register": {"name", "value", "typeHint", "access", "min", "max", "step"}}
    {"set_object": [name, type]}          later registrations go below this object
    {"set_capability": tree}              replaces the tree, and tells
    {"modify": partial}                   changes the tree from inside, and tells
    {"emit": [name, value]}               {"emit_many": [name, first, last]}
    {"set": [peer, partial]}              {"get": [peer, keys]}
    {"subscribe": [receiver_peer, receiver, emitter_peer, emitter]}   {"unsubscribe": the same}
    {"whisper": [peer, text]}             {"shout": [group, text]}
    {"raw": [peer, [hex, ...]]}           one WHISPER of these frames
    {"flood": [peer, count, size]}        numbered whispers, then END
    {"join": group}                       {"leave": group}
    {"tree": null}                        answers with the event "tree"
    {"nothing": null}                     is only answered
    {"exit": true}                        goodbye, then exit

Each command is answered by {"event": "done", "command": ...} once it has been carried out.
What would raise out of pyZOCP's run loop, and so end such a node, is the event "fatal".

What is kept of pyZOCP, since the bridge has to live with it: GET null to every peer that enters,
ZOCP or not; a SET is merged without any check and never confirmed to its sender; a change is told
only to subscribers; after set_object every change is told below that object; a GET with names is
answered by an odd SET before the MOD; a min, max or step of 0 is left out.
"""

import argparse
import json
import logging
import os
import sys
import uuid

import zmq
from pyre import Pyre

GROUP = "ZOCP"
FLOOD_END = b"END"
# Between so many emissions the inbox is read: pyre's two pipes hold 1000 messages each, and a node
# that only writes while its peers write back comes to a stop.
EMISSIONS_BETWEEN_READS = 100


class WouldRaise(Exception):
    """A message that ends the run loop of a pyZOCP node."""


def tell(event, **fields):
    """Writes one event line."""
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def merged(base, change):
    """`change` merged deeply into `base`, in place where both are objects."""
    if not isinstance(base, dict) or not isinstance(change, dict):
        return change
    for key, value in change.items():
        base[key] = merged(base[key], value) if key in base else value
    return base


def text_of(frame):
    """A frame as text, or as hex digits behind `hex:` when it is not UTF-8."""
    try:
        return frame.decode("utf-8")
    except UnicodeDecodeError:
        return "hex:" + frame.hex()


class Tree:
    """The node's own capabilities and the object that registrations go to."""

    def __init__(self):
        self.root = {}
        self.object_path = ()

    def current(self):
        node = self.root
        for key in self.object_path:
            node = node[key]
        return node

    def select(self, name, kind):
        objects = self.root.setdefault("objects", {})
        objects.setdefault(name, {})["type"] = kind
        self.object_path = ("objects", name)

    def register(self, name, value, typeHint, access="r", **bounds):
        entry = {"value": value, "typeHint": typeHint, "access": access, "subscribers": []}
        entry.update({k: bounds[k] for k in ("min", "max", "step") if bounds.get(k)})
        if typeHint is None:
            del entry["typeHint"]
        self.current()[name] = entry
        return {name: entry}

    def as_told(self, change):
        """`change` the way it is told: below the selected object, wherever it was made."""
        for key in reversed(self.object_path):
            change = {key: change}
        return change


class Peer:
    """One node: a pyre node, its tree, its subscribers."""

    def __init__(self, name, zocp=True, port=None):
        self.node = Pyre(name)
        self.zocp = zocp
        self.tree = Tree()
        self.names = {}  # peer uuid -> name
        self.trees = {}  # peer uuid -> its tree
        self.subscribers = {}  # receiver uuid -> {emitter: [receiver, ...]}
        self.subscriptions = {}  # emitter uuid -> {emitter: [receiver, ...]}
        self.sunk = {}  # peer uuid -> [received, out of place, next number]
        self.running = True
        if port:
            self.node.set_port(str(port).encode())
        if zocp:
            self.node.set_header("X-ZOCP", "1")
            self.node.join(GROUP)
        self.inbox = self.node.socket()

    # ---- the mesh

    def start(self):
        self.node.start()
        tell("ready", uuid=self.node.uuid().hex, name=self.node.name(), endpoint=self.node.endpoint())

    def send(self, peer, message):
        self.node.whisper(peer, json.dumps(message).encode("utf-8"))

    def read_waiting(self):
        while self.inbox.get(zmq.EVENTS) & zmq.POLLIN:
            self.read_one()

    def read_one(self):
        frames = self.inbox.recv_multipart()
        kind, peer, name = frames[0].decode(), uuid.UUID(bytes=frames[1]), text_of(frames[2])
        if kind == "ENTER":
            self.enter(peer, name, json.loads(frames[3]), text_of(frames[4]))
        elif kind == "EXIT":
            self.leave(peer, name)
        elif kind in ("JOIN", "LEAVE"):
            tell(kind.lower(), peer=peer.hex, name=name, group=text_of(frames[3]))
        elif kind == "WHISPER":
            self.message(peer, name, None, frames[3:])
        elif kind == "SHOUT":
            self.message(peer, name, text_of(frames[3]), frames[4:])

    def enter(self, peer, name, headers, address):
        self.names[peer] = name
        tell("enter", peer=peer.hex, name=name, headers=headers, address=address)
        if self.zocp:
            self.trees.setdefault(peer, {})
            self.send(peer, {"GET": None})

    def leave(self, peer, name):
        # A flood goes on over an EXIT: a sender may have to greet afresh in the midst of it.
        for table in (self.names, self.subscribers, self.subscriptions, self.trees):
            table.pop(peer, None)
        tell("exit", peer=peer.hex, name=name)

    def message(self, peer, name, group, frames):
        if group is None and self.is_flood(peer, frames):
            return
        heard = {"peer": peer.hex, "name": name, "frames": [text_of(f) for f in frames]}
        if group is None:
            tell("whisper", **heard)
        else:
            tell("shout", group=group, **heard)
        if self.zocp:
            self.zocp_message(peer, name, frames)

    def is_flood(self, peer, frames):
        """Counts numbered whispers instead of telling each, and tells the count at their end."""
        head = frames[0][:9] if frames else b""
        if head.isdigit() and len(head) == 9:
            count = self.sunk.setdefault(peer, [0, 0, 0])
            count[0] += 1
            count[1] += int(head) != count[2]
            count[2] = int(head) + 1
            return True
        if head == FLOOD_END:
            received, out_of_place, _ = self.sunk.pop(peer, [0, 0, 0])
            tell("sunk", peer=peer.hex, received=received, out_of_place=out_of_place)
            return True
        return False

    # ---- ZOCP

    def zocp_message(self, peer, name, frames):
        try:
            message = json.loads(frames[0].decode("utf-8"))
        except (ValueError, IndexError) as error:
            tell("not_json", peer=peer.hex, error=str(error))
            return
        try:
            if not isinstance(message, dict):
                raise WouldRaise("not an object")
            for verb, payload in message.items():
                handle = self.VERBS.get(verb)
                if handle is None:
                    raise WouldRaise("unknown verb %s" % verb)
                handle(self, payload, peer, name)
        except (WouldRaise, KeyError, TypeError, ValueError, AttributeError) as error:
            tell("fatal", peer=peer.hex, why="%s: %s" % (type(error).__name__, error))

    def on_get(self, keys, peer, _name):
        if not keys:
            self.send(peer, {"MOD": self.tree.root})
            return
        self.send(peer, {"SET": keys})
        self.send(peer, {"MOD": {key: self.tree.root.get(key) for key in keys}})

    def on_set(self, change, peer, name):
        self.tree.root = merged(self.tree.root, change)
        self.modified(change, peer, name)

    def on_mod(self, change, peer, name):
        self.trees[peer] = merged(self.trees.get(peer), change)
        tell("peer_modified", peer=peer.hex, name=name, data=change)

    def on_sig(self, payload, peer, name):
        emitter, value = payload
        if emitter in self.trees[peer]:
            self.trees[peer][emitter].update({"value": value})
        mine = self.subscriptions.get(peer, {})
        sensors = mine.get(emitter, [])
        for sensor in sensors:
            if sensor is not None and self.tree.root[sensor]["value"] != value:
                self.emit(sensor, value)
        if None in mine or emitter in mine:
            tell("signal", peer=peer.hex, name=name, emitter=emitter, value=value, sensors=sensors)

    def on_sub(self, payload, peer, name):
        emitter_peer, emitter, receiver_peer, receiver = self.subscription(payload)
        if self.node.uuid() not in (emitter_peer, receiver_peer):
            return
        if receiver_peer != peer:
            self.subscribe(receiver_peer, receiver, emitter_peer, emitter)
            return
        if emitter is not None:
            self.list_subscriber(emitter, receiver_peer, receiver)
        note(self.subscribers, receiver_peer, emitter, receiver)
        tell("subscribed", peer=peer.hex, name=name, emitter=emitter, receiver=receiver)

    def on_unsub(self, payload, peer, name):
        emitter_peer, emitter, receiver_peer, receiver = self.subscription(payload)
        if self.node.uuid() not in (emitter_peer, receiver_peer):
            return
        if receiver_peer != peer:
            self.unsubscribe(receiver_peer, receiver, emitter_peer, emitter)
            return
        if emitter is not None:
            self.unlist_subscriber(emitter, receiver_peer, receiver)
        forget(self.subscribers, receiver_peer, emitter, receiver)
        tell("unsubscribed", peer=peer.hex, name=name, emitter=emitter, receiver=receiver)

    def ignored(self, _payload, _peer, _name):
        """CALL and REP: pyZOCP has a place for them and does nothing there."""

    VERBS = {
        "GET": on_get,
        "SET": on_set,
        "MOD": on_mod,
        "SIG": on_sig,
        "SUB": on_sub,
        "UNSUB": on_unsub,
        "CALL": ignored,
        "REP": ignored,
    }

    @staticmethod
    def subscription(payload):
        emitter_peer, emitter, receiver_peer, receiver = payload
        return uuid.UUID(emitter_peer), emitter, uuid.UUID(receiver_peer), receiver

    def list_subscriber(self, emitter, receiver_peer, receiver):
        listed = self.tree.root[emitter]["subscribers"]
        if [receiver_peer.hex, receiver] not in listed:
            listed.append([receiver_peer.hex, receiver])
            self.modified({emitter: {"subscribers": listed}})

    def unlist_subscriber(self, emitter, receiver_peer, receiver):
        listed = self.tree.root[emitter]["subscribers"]
        if [receiver_peer.hex, receiver] in listed:
            listed.remove([receiver_peer.hex, receiver])
            self.modified({emitter: {"subscribers": listed}})

    def subscribe(self, receiver_peer, receiver, emitter_peer, emitter):
        me = self.node.uuid()
        payload = [emitter_peer.hex, emitter, receiver_peer.hex, receiver]
        if receiver_peer == me:
            note(self.subscriptions, emitter_peer, emitter, receiver)
        if emitter_peer == me:
            self.list_subscriber(emitter, receiver_peer, receiver)
            note(self.subscribers, receiver_peer, emitter, receiver)
            self.send(receiver_peer, {"SUB": payload})
            return
        self.send(emitter_peer, {"SUB": payload})

    def unsubscribe(self, receiver_peer, receiver, emitter_peer, emitter):
        me = self.node.uuid()
        payload = [emitter_peer.hex, emitter, receiver_peer.hex, receiver]
        if receiver_peer == me:
            forget(self.subscriptions, emitter_peer, emitter, receiver)
        if emitter_peer == me:
            self.unlist_subscriber(emitter, receiver_peer, receiver)
            forget(self.subscribers, receiver_peer, emitter, receiver)
            self.send(receiver_peer, {"UNSUB": payload})
            return
        self.send(emitter_peer, {"UNSUB": payload})

    def modified(self, change, peer=None, name=None):
        """Tells a change to the subscribers it concerns, its author left out."""
        change = self.tree.as_told(change)
        if peer is not None:
            tell("modified", by=peer.hex, name=name, data=change)
        if len(change) == 1:
            key, entry = next(iter(change.items()))
            if len(entry) == 1 and "value" in entry:
                self.tell_subscribers({"SIG": [key, entry["value"]]}, {key}, peer)
                return
        if change:
            self.tell_subscribers({"MOD": change}, set(change), peer)

    def tell_subscribers(self, message, keys, author=None):
        for subscriber, wanted in self.subscribers.items():
            if subscriber != author and (None in wanted or keys & set(wanted)):
                self.send(subscriber, message)

    def emit(self, name, value):
        self.tree.root[name]["value"] = value
        self.tell_subscribers({"SIG": [name, value]}, {name})

    # ---- commands of the test

    def find(self, peer):
        """The UUID of a peer given by name or by UUID."""
        for known, name in self.names.items():
            if name == peer:
                return known
        if peer == self.node.name():
            return self.node.uuid()
        return uuid.UUID(peer)

    def command(self, line):
        for verb, argument in json.loads(line).items():
            getattr(self, "do_" + verb)(argument)
            if self.running:
                tell("done", command=verb)

    def do_register(self, entry):
        self.modified(self.tree.register(**entry))

    def do_set_object(self, name_and_type):
        self.tree.select(*name_and_type)

    def do_set_capability(self, tree):
        self.tree.root = tree
        self.modified(tree)

    def do_modify(self, change):
        self.tree.root = merged(self.tree.root, change)
        self.modified(change)

    def do_emit(self, name_and_value):
        self.emit(*name_and_value)

    def do_emit_many(self, name_first_last):
        name, first, last = name_first_last
        for number in range(first, last + 1):
            self.emit(name, number)
            if number % EMISSIONS_BETWEEN_READS == 0:
                self.read_waiting()

    def do_set(self, peer_and_change):
        peer, change = peer_and_change
        self.send(self.find(peer), {"SET": change})

    def do_get(self, peer_and_keys):
        peer, keys = peer_and_keys
        self.send(self.find(peer), {"GET": keys})

    def do_subscribe(self, payload):
        receiver_peer, receiver, emitter_peer, emitter = payload
        self.subscribe(self.find(receiver_peer), receiver, self.find(emitter_peer), emitter)

    def do_unsubscribe(self, payload):
        receiver_peer, receiver, emitter_peer, emitter = payload
        self.unsubscribe(self.find(receiver_peer), receiver, self.find(emitter_peer), emitter)

    def do_whisper(self, peer_and_text):
        peer, text = peer_and_text
        self.node.whisper(self.find(peer), text.encode("utf-8"))

    def do_shout(self, group_and_text):
        group, text = group_and_text
        self.node.shout(group, text.encode("utf-8"))

    def do_raw(self, peer_and_frames):
        peer, frames = peer_and_frames
        self.node.whisper(self.find(peer), [bytes.fromhex(f) for f in frames])

    def do_flood(self, peer_count_size):
        peer, count, size = peer_count_size
        peer = self.find(peer)
        for number in range(count):
            self.node.whisper(peer, (b"%09d " % number).ljust(size, b"x"))
            if number % EMISSIONS_BETWEEN_READS == 0:
                self.read_waiting()
        self.node.whisper(peer, FLOOD_END)

    def do_join(self, group):
        self.node.join(group)

    def do_leave(self, group):
        self.node.leave(group)

    def do_tree(self, _):
        tell("tree", tree=self.tree.root)

    def do_nothing(self, _):
        pass

    def do_exit(self, _):
        self.running = False


def note(table, peer, emitter, receiver):
    """Enters a subscription into a table of subscribers or of subscriptions."""
    receivers = table.setdefault(peer, {}).setdefault(emitter, [])
    if receiver not in receivers:
        receivers.append(receiver)


def forget(table, peer, emitter, receiver):
    """Takes a subscription out again. A peer left with only null ones is dropped, as by pyZOCP."""
    wanted = table.get(peer, {})
    if receiver not in wanted.get(emitter, []):
        return
    wanted[emitter].remove(receiver)
    if not any(wanted[emitter]):
        wanted.pop(emitter)
    if not any(wanted):
        table.pop(peer)


def run(peer):
    """Reads commands and the mesh until told to exit or until the test closes stdin."""
    poller = zmq.Poller()
    poller.register(peer.inbox, zmq.POLLIN)
    poller.register(sys.stdin.fileno(), zmq.POLLIN)
    unread = b""
    while peer.running:
        ready = dict(poller.poll())
        if sys.stdin.fileno() in ready:
            chunk = os.read(sys.stdin.fileno(), 65536)
            if not chunk:
                break
            *lines, unread = (unread + chunk).split(b"\n")
            for line in lines:
                peer.command(line)
        peer.read_waiting()
    peer.node.stop()
    tell("stopped")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True)
    parser.add_argument("--plain", action="store_true", help="a ZRE peer that knows nothing of ZOCP")
    parser.add_argument("--port", type=int, help="UDP port of the beacons")
    parser.add_argument("--setup", action="append", default=[], help="a command to carry out before the start")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    peer = Peer(options.name, not options.plain, options.port)
    for line in options.setup:
        peer.command(line)
    peer.start()
    run(peer)


if __name__ == "__main__":
    main()
