#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weft serve, ended and started again under load, behind a listening socket that stays open: no
request that was accepted fails.

What that means, for a client that follows HTTP/1.1:

  - A connection is always made: the socket is never closed.
  - The first request of a connection has its whole, right answer.
  - So has every request that follows, until an answer says Connection: close. Then the server ends
    the connection, in order, and the client makes another.
  - A connection that has been idle for a while may be ended by the server at any time. If that
    crosses the client's next request, there is no answer, not even a byte of one, and the request is
    sent again on another connection (RFC 9112, 9.3.1). It happens to clients that pause for longer
    than a stopping server waits for idle ones (250 ms); it must not happen to others.

Clients of five kinds ask all the time and hold every answer against the file: those that ask again
at once, those that pause, those that make a connection for each request, those that ask three
things at once, and those whose answer takes the server 0.3 s on another engine. Each request but
theirs is for a range of its own, so an answer to another one does not pass. Beside them runs wrk,
where there is one, which counts errors by itself.

A client that gets no processor for so long that a stopping server gives it up is no news about the
server: when that was so, it is said, and requests may have been sent again.

WEFT_RESTARTS: how many times; 6 if it is not set. Prints a table.
"""
import errno
import multiprocessing
import os
import random
import re
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from weft import PATIENCE_S, PROGRAM, SANITIZED

RESTARTS = int(os.environ.get("WEFT_RESTARTS", "6"))
CONTENT = random.Random(1).randbytes(20000)
BUSY, PAUSING, ONCE, PIPELINING, WAITING = "busy", "pausing", "once", "three at once", "waiting"
KINDS = {BUSY: 24, PAUSING: 16, ONCE: 8, PIPELINING: 8, WAITING: 4}
WAITED = b'{"result_file": "file result", "result_db": "db result", "result_api": "api result"}'
PAUSE_S = 0.6  # at the most: twice what a server waits for idle connections when it stops
STALL_S = 0.1  # of the clients' process
END_S = 5      # for the answers that are under way when the clients are told to stop


class Client:
    """One after another, the connections of a client; all without waiting."""

    def __init__(self, kind, at, selector, counts, pick):
        self.kind, self.at, self.selector = kind, at, selector
        self.counts, self.pick = counts, pick
        self.connection, self.asked, self.received = None, [], b""
        self.answered = 0     # on this connection
        self.told = False     # that the connection ends
        self.again_at = None  # when the pause is over
        self.ask()

    def count(self, what, detail=None):
        self.counts[self.kind][what] = self.counts[self.kind].get(what, 0) + 1
        if detail:
            self.counts.setdefault("details", []).append(f"{self.kind}: {what}: {detail}")

    def connect(self):
        self.connection = socket.socket()
        try:
            self.connection.connect(self.at)
        except OSError as error:
            self.count("failed", f"connect: {error}")
        self.connection.setblocking(False)
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(self.connection, selectors.EVENT_READ, self)
        self.answered, self.told, self.received = 0, False, b""
        self.count("connections")

    def drop(self):
        self.selector.unregister(self.connection)
        self.connection.close()
        self.connection = None

    def ask(self, again=None):
        self.again_at = None
        if not self.connection:
            self.connect()
        self.asked = again or [self.pick.randrange(len(CONTENT) - 100)
                               for _ in range(3 if self.kind == PIPELINING else 1)]
        close = "Connection: close\r\n" if self.kind == ONCE else ""
        question = "".join(f"GET /file HTTP/1.1\r\nHost: h\r\nRange: bytes={first}-{first + 99}\r\n"
                           f"{close}\r\n" for first in self.asked).encode()
        if self.kind == WAITING:
            question = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
        try:
            self.connection.send(question)
        except OSError:
            pass  # what became of it is seen when reading

    def over(self, how):
        """The connection has ended, by the server."""
        kept, told, asked, received = self.answered > 0, self.told, self.asked, self.received
        self.drop()
        if not asked:
            self.count("ended when idle" if not told else "told to go")
        elif told and not received:
            # Those behind the answer that said so; it was the last one.
            self.count("told to go")
            self.ask(again=asked)
        elif kept and not received:
            self.count("crossed", f"{how}" if self.kind != PAUSING else None)
            self.ask(again=asked)
        else:
            self.count("failed", f"{how} after {self.answered} answers, {received[:60]!r}")
            self.ask()

    def hear(self):
        try:
            data = self.connection.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            return self.over(errno.errorcode[error.errno])
        if not data:
            return self.over("end")
        self.received += data
        while self.asked and self.take_answer():
            pass
        if not self.asked and not self.told and self.kind != PAUSING:
            self.ask()
        elif not self.asked and not self.again_at:
            self.again_at = time.monotonic() + (
                self.pick.random() * PAUSE_S if self.kind == PAUSING else 0)

    def take_answer(self):
        head, found, rest = self.received.partition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        if not found or length and len(rest) < int(length[1]):
            return False
        first = self.asked.pop(0)
        status, due = (b"200", WAITED) if self.kind == WAITING else (b"206", CONTENT[first:first + 100])
        if not head.startswith(b"HTTP/1.1 " + status) or rest[:len(due)] != due:
            self.count("failed", f"wrong answer {self.received[:80]!r}")
        self.received = rest[len(due):]
        self.told = b"\r\nConnection: close" in head
        self.answered += 1
        self.count("answers")
        if self.told and self.received:
            self.count("failed", f"bytes behind the last answer: {self.received[:60]!r}")
        return not self.told

    def go_on(self, now):
        if self.again_at and self.again_at <= now:
            if self.connection and self.told:
                return  # until it has ended
            self.ask()

    def finish(self):
        """No more questions. Returns whether an answer is still due."""
        self.again_at = None
        return bool(self.asked)


def ask_on(at, seed, told_to_end, results):
    """The clients, in a process of their own."""
    selector, counts, pick = selectors.DefaultSelector(), {kind: {} for kind in KINDS}, random.Random(seed)
    clients = [Client(kind, at, selector, counts, pick) for kind, n in KINDS.items() for _ in range(n)]
    now, longest = time.monotonic(), 0
    while not told_to_end.is_set():
        for key, _ in selector.select(0.01):
            key.data.hear()
        before, now = now, time.monotonic()
        longest = max(longest, now - before)
        for client in clients:
            client.go_on(now)
    end = time.monotonic() + END_S
    for client in clients:
        client.ask = lambda again=None, client=client: setattr(client, "asked", [])
    while any([client.finish() for client in clients]) and time.monotonic() < end:
        for key, _ in selector.select(0.01):
            key.data.hear()
    for client in clients:
        if client.finish():
            client.count("failed", "no answer at the end")
    results.put((counts, longest))


class ServeRestarts(unittest.TestCase):
    def start(self, kept, folder):
        server = subprocess.Popen(
            [PROGRAM, "serve", "--demo", "--listen", f"fd:{kept.fileno()}", folder],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, pass_fds=[kept.fileno()])
        self.servers.append(server)
        return server

    def test_no_accepted_request_fails(self):
        self.servers = []
        seed = int(os.environ.get("WEFT_SEED", time.time_ns() % 1000000))
        print(f"WEFT_SEED={seed}", flush=True)
        told_to_end, results = multiprocessing.Event(), multiprocessing.Queue()
        with tempfile.TemporaryDirectory() as folder, socket.create_server(
                ("127.0.0.1", 0), backlog=1024) as kept:
            with open(os.path.join(folder, "file"), "wb") as file:
                file.write(CONTENT)
            server = self.start(kept, folder)
            server.stdout.readline()
            clients = multiprocessing.Process(
                target=ask_on, args=(kept.getsockname(), seed, told_to_end, results))
            clients.start()
            wrk = None
            if shutil.which("wrk") and not SANITIZED:
                wrk = subprocess.Popen(
                    ["wrk", "-t1", "-c32", "-d600s", "http://127.0.0.1:%d/file" % kept.getsockname()[1]],
                    stdout=subprocess.PIPE, text=True)
            began, stops = time.monotonic(), []
            try:
                for turn in range(RESTARTS):
                    # Under load for a while, another one each time, so that signals come anywhere.
                    time.sleep(0.05 + 0.01 * (turn * 7 % 10))
                    old, start = server, time.monotonic()
                    if turn % 2:  # the next one is there already
                        server = self.start(kept, folder)
                        server.stdout.readline()
                    old.send_signal(signal.SIGTERM)
                    if not turn % 2:
                        server = self.start(kept, folder)
                        server.stdout.readline()
                    self.assertEqual(old.wait(PATIENCE_S), 0)
                    stops.append(time.monotonic() - start)
            finally:
                if wrk:
                    wrk.send_signal(signal.SIGINT)
                    said = wrk.communicate(timeout=PATIENCE_S)[0]
                told_to_end.set()
                try:
                    counts, longest = results.get(timeout=PATIENCE_S)
                finally:
                    clients.join(PATIENCE_S)
                    for each in self.servers:
                        if each.poll() is None:
                            each.terminate()
                            each.wait(PATIENCE_S)
                        each.stdout.close()
        seconds = time.monotonic() - began
        print(f"{RESTARTS} restarts in {seconds:.1f} s, a stop {max(stops):.2f} s at the most")
        print(f"{'':14}" + "".join(f"{name:>16}" for name in (
            "connections", "answers", "told to go", "ended when idle", "crossed", "failed")))
        for kind in KINDS:
            print(f"{kind:14}" + "".join(f"{counts[kind].get(name, 0):16}" for name in (
                "connections", "answers", "told to go", "ended when idle", "crossed", "failed")))
        if wrk:
            print(said.strip())
        for detail in counts.get("details", [])[:20]:
            print(detail)
        if longest > STALL_S:
            print(f"the clients stood still for {longest:.2f} s")
        for kind in KINDS:
            self.assertEqual(counts[kind].get("failed", 0), 0, kind)
            self.assertGreater(counts[kind].get("answers", 0), 5 * RESTARTS, kind)
            if kind != PAUSING and longest <= STALL_S:
                self.assertEqual(counts[kind].get("crossed", 0), 0, kind)
                self.assertEqual(counts[kind].get("ended when idle", 0), 0, kind)
        self.assertGreaterEqual(counts[BUSY]["told to go"], RESTARTS)
        if wrk and longest <= STALL_S:
            self.assertIsNone(re.search("Socket errors|Non-2xx", said), said)


if __name__ == "__main__":
    unittest.main()
