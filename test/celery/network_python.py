# SPDX-License-Identifier: MIT
"""A network that is cut: workers in a namespace of their own, their cable pulled and put back.

Run by /usr/bin/python3; exits 77 when Debian's python3-redis, redis-server, iproute2 or util-linux
are missing, or namespaces are not permitted here. The seed of what is random is WEFT_SEED."""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest

from cluster import SANITIZED, WITH_US, Redis, Worker, body_of, text_of, wait_until

SEED = int(os.environ.get("WEFT_SEED", random.randrange(1 << 32)))
META = "celery-task-meta-"
HERE, THERE, PORT = "10.0.0.1", "10.0.0.2", 6379  # in namespaces of the test's own
INSIDE = "WEFT_IN_NAMESPACE"


def skip(why):
    print(why)
    sys.exit(77)


def enter_namespace():
    """Starts this program again in a network namespace, in which it may do as it likes."""
    if not shutil.which("ip"):
        skip("no ip (Debian: iproute2)")
    for words in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        try:
            done = subprocess.run(words + ["ip", "link", "set", "lo", "up"], capture_output=True,
                                  text=True)
        except FileNotFoundError:
            skip("no unshare (Debian: util-linux)")
        if done.returncode == 0:
            os.environ[INSIDE] = "1"
            os.execvp(words[0], words + [sys.executable] + sys.argv)
    skip(f"network namespaces are not permitted: {done.stderr.strip()}")


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class There:
    """Another namespace, that lives as long as a process in it, and the cable to it."""

    def __init__(self):
        self.process = subprocess.Popen(WITH_US + ["unshare", "--net", "sh", "-c",
                                                   "ip link set lo up; echo up; exec sleep 1000"],
                                        stdout=subprocess.PIPE)
        self.process.stdout.readline()
        self.enter = ["nsenter", "--net", "--target", str(self.process.pid)]
        ip("link", "add", "here", "type", "veth", "peer", "name", "there", "netns",
           str(self.process.pid))
        ip("addr", "add", HERE + "/24", "dev", "here")
        ip("link", "set", "here", "up")
        for words in (["addr", "add", THERE + "/24", "dev", "there"], ["link", "set", "there", "up"]):
            subprocess.run(self.enter + ["ip", *words], check=True)

    def cut(self):
        ip("link", "set", "here", "down")

    def mend(self):
        ip("link", "set", "here", "up")

    def close(self):
        self.process.kill()
        self.process.communicate()


class Network(unittest.TestCase):
    def setUp(self):
        self.rng = random.Random(SEED)
        self.there = There()
        self.addCleanup(self.there.close)
        self.redis = Redis(extra=["--port", str(PORT), "--bind", HERE, "127.0.0.1",
                                  "--protected-mode", "no"])
        self.addCleanup(self.redis.close)
        self.url = f"redis://{HERE}:{PORT}"
        self.workers = []
        self.addCleanup(self.close_workers)
        self.runs = os.path.join(self.redis.folder, "runs")

    def close_workers(self):
        for worker in self.workers:
            if not worker.log.closed:
                worker.end(signal.SIGKILL)

    def start(self, far, *words):
        at = self.there.enter if far else []
        # nsenter becomes the program, so that its number is the worker's.
        worker = Worker(*at, PROGRAM, self.url, self.url, "late", "concurrency=4", *words)
        self.workers.append(worker)
        return worker

    def cut_at_work(self, seconds):
        """Sends tasks and cuts the cable while the worker is at them: as often as that takes.
        Returns how many were sent."""
        count, more = 0, 100 if SANITIZED else 600
        while True:
            for n in range(count, count + more):
                self.redis.client.lpush("celery", text_of("note", str(n),
                                                          body_of(self.runs, n, seconds())))
            count += more
            wait_until(lambda: self.stored() >= count - more * 3 / 4, "it works")
            self.there.cut()
            self.redis.client.ping()  # what came through has been done by now
            if self.redis.client.hlen("unacked") > 0 and self.stored() < count:
                return count
            self.there.mend()

    def stored(self):
        return len(self.redis.client.keys(META + "*"))

    def finish(self, count):
        wait_until(lambda: self.stored() == count, "all are stored")
        wait_until(lambda: not self.redis.client.exists("celery", "unacked", "unacked_index"),
                   "all is acknowledged")
        for n in range(count):
            meta = json.loads(self.redis.client.get(f"{META}{n}"))
            self.assertEqual((meta["status"], meta["result"]), ("SUCCESS", n))
        with open(self.runs, encoding="ascii") as file:
            runs = [int(line) for line in file]
        self.assertEqual(sorted(set(runs)), list(range(count)))
        texts = []
        for worker in self.workers:
            status, text = worker.end()
            self.assertEqual(status, 128 + signal.SIGTERM, text)
            self.assertNotIn("Sanitizer", text)
            texts.append(text)
        return len(runs) - count, texts

    def test_a_short_cut(self):
        """Nobody need notice it: what is on its way is sent again by TCP."""
        self.start(True)
        count = self.cut_at_work(lambda: 0.004)
        done = self.stored()
        time.sleep(0.7)
        self.assertEqual(self.stored(), done)
        self.there.mend()
        again, texts = self.finish(count)
        self.assertEqual(again, 0)
        self.assertNotIn("connecting again", texts[0])

    def test_a_cut_while_the_server_gives_the_connections_up(self):
        """What the worker holds is done by another; it finds its way back, and does no harm."""
        far = self.start(True, "visibility=1")
        count = self.cut_at_work(lambda: round(self.rng.uniform(0.002, 0.01), 4))
        self.redis.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        near = self.start(False, "visibility=1")
        wait_until(lambda: self.stored() == count, "the other has done all")
        self.there.mend()
        wait_until(lambda: far.lines().count("Connected to") >= 2, "it is there again")
        near.process.send_signal(signal.SIGTERM)
        near.process.wait()
        self.redis.client.lpush("celery", text_of("note", str(count), body_of(self.runs, count, 0)))
        _, texts = self.finish(count + 1)
        self.assertIn("connecting again", texts[0])


if __name__ == "__main__":
    if INSIDE not in os.environ:
        enter_namespace()
    PROGRAM = sys.argv.pop(1)
    ip("link", "set", "lo", "up")
    print(f"WEFT_SEED={SEED}", flush=True)
    sys.exit(0 if unittest.main(exit=False).result.wasSuccessful() else 1)
