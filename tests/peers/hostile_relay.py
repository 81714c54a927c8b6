"""A relay of TCP that somebody hostile runs: hostile_relay.py PORT HOST PORT DIRECTORY

It passes on what comes to the first port, writes all of it to files in the directory (NUMBER.to, NUMBER.from), and does what
a line on standard input says to the newest connection:

  flip      one bit of the next octets to the other end
  drop      the next octets to the other end are not passed on
  swap      the next two pieces to the other end change places
  hold      nothing is passed on any more, either way, and nothing is closed
  cut       the connection is closed
  replay N  a connection of its own, on which all is sent again that came on the connection with that number
  double    the next octets to the other end are sent twice
"""

import asyncio
import pathlib
import sys

port, host, target, directory = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), pathlib.Path(sys.argv[4])


class Connection:
    def __init__(self, number, near, far):
        self.number, self.near, self.far = number, near, far
        self.trick = None
        self.kept = b""
        self.held = asyncio.Event()
        self.held.set()

    def tricked(self, octets):
        trick, self.trick = self.trick, None
        if trick == "flip":
            at = len(octets) // 2
            octets = octets[:at] + bytes([octets[at] ^ 16]) + octets[at + 1 :]
        elif trick == "drop":
            octets = b""
        elif trick == "double":
            octets += octets
        elif trick == "swap":
            self.trick, self.kept = "swapped", octets
            return b""
        elif trick == "swapped":
            octets += self.kept
        else:
            return octets
        print("done", trick, flush=True)
        return octets

    async def carry(self, reader, writer, name, tricks):
        with open(directory / f"{self.number}.{name}", "wb", buffering=0) as record:
            while octets := await reader.read(1 << 16):
                record.write(octets)
                if tricks:
                    octets = self.tricked(octets)
                await self.held.wait()
                writer.write(octets)
                await writer.drain()

    async def run(self):
        both = [
            asyncio.create_task(self.carry(self.near[0], self.far[1], "to", True)),
            asyncio.create_task(self.carry(self.far[0], self.near[1], "from", False)),
        ]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
        self.close()

    def close(self):
        for _, writer in (self.near, self.far):
            writer.transport.abort()


connections = []


async def accept(*near):
    try:
        far = await asyncio.open_connection(host, target)
    except OSError:
        near[1].transport.abort()
        return
    connection = Connection(len(connections), near, far)
    connections.append(connection)
    print("connection", connection.number, flush=True)
    await connection.run()


async def replay(number):
    reader, writer = await asyncio.open_connection(host, target)
    writer.write((directory / f"{number}.to").read_bytes())
    # What comes in return is of no use; it ends when the other end does not go on.
    try:
        while octets := await reader.read(1 << 16):
            print("replay got", len(octets), flush=True)
    except OSError:
        pass
    print("replay ended", flush=True)


async def main():
    server = await asyncio.start_server(accept, "0.0.0.0", port)
    print("listening", flush=True)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with server:
        while line := (await lines.readline()).decode().split():
            newest = connections[-1]
            if line[0] == "replay":
                asyncio.create_task(replay(int(line[1])))
            elif line[0] == "hold":
                newest.held.clear()
                print("done hold", flush=True)
            elif line[0] == "cut":
                newest.close()
                print("done cut", flush=True)
            else:
                newest.trick = line[0]


asyncio.run(main())
