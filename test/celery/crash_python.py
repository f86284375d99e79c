# SPDX-License-Identifier: MIT
"""Workers killed at random, a broker killed and started again, a worker that stands still, a queue
that is longer than its worker is fast: nothing that is acknowledged late is lost, and each task ends
once in the store of results.

Run by /usr/bin/python3; exits 77 when Debian's python3-redis or redis-server is missing. The seed of
what is random is WEFT_SEED."""
import collections
import json
import os
import random
import signal
import sys
import time
import unittest

from cluster import PATIENCE_S, SANITIZED, Redis, Worker, body_of, text_of, wait_until

PROGRAM = sys.argv.pop(1)
SEED = int(os.environ.get("WEFT_SEED", random.randrange(1 << 32)))
META = "celery-task-meta-"


class Case(unittest.TestCase):
    def setUp(self):
        self.rng = random.Random(SEED)
        self.redis = Redis(durable=True)
        self.addCleanup(self.redis.close)
        self.addCleanup(self.close_workers)
        self.workers = []
        self.runs = os.path.join(self.redis.folder, "runs")

    def close_workers(self):
        for worker in self.workers:
            if not worker.log.closed:
                worker.end(signal.SIGKILL)

    def start(self, *words):
        worker = Worker(PROGRAM, self.redis.url, self.redis.url, *words)
        self.workers.append(worker)
        return worker

    def stop(self, worker):
        status, text = worker.end()
        self.assertEqual(status, 128 + signal.SIGTERM, text[-2000:])
        self.assertNotIn("Sanitizer", text)
        return text

    def send(self, count, seconds, first=0):
        """Tasks `first` to first + count - 1; `seconds` gives for how long each is to run."""
        pipeline = self.redis.client.pipeline(transaction=False)
        for n in range(first, first + count):
            pipeline.lpush("celery", text_of("note", str(n), body_of(self.runs, n, seconds())))
        pipeline.execute()

    def stored(self):
        keys = self.redis.client.keys(META + "*")
        return len(keys)

    def check_stored(self, count):
        values = self.redis.client.mget([f"{META}{n}" for n in range(count)])
        missing = [n for n, text in enumerate(values) if not text]
        self.assertEqual(missing, [])
        for n, text in enumerate(values):
            meta = json.loads(text)
            self.assertEqual((meta["status"], meta["result"], meta["task_id"]),
                             ("SUCCESS", n, str(n)))
        self.assertEqual(self.stored(), count)

    def noted(self):
        """How often each has begun."""
        if not os.path.exists(self.runs):
            return collections.Counter()
        with open(self.runs, encoding="ascii") as file:
            return collections.Counter(int(line) for line in file)

    def check_runs(self, count):
        """How often each ran: once at least. Returns how many runs were more than that."""
        runs = self.noted()
        self.assertEqual(sorted(runs), list(range(count)))
        return runs.total() - count

    def wait_for_log(self, workers, text, times):
        def told(worker):
            return "\n".join(line for line in worker.lines().splitlines() if "note[" not in line)

        for worker in workers:
            wait_until(lambda: told(worker).count(text) >= times,
                       lambda: f"{times} times {text!r} in\n{told(worker)}")

    def wait_for_rest(self):
        wait_until(lambda: not self.redis.client.exists("celery", "unacked", "unacked_index"),
                   "all is acknowledged")


class Crash(Case):
    def test_workers_are_killed_at_random(self):
        """There is more to do until enough was killed, however quick the workers are."""
        least, kills_min = (2000, 6) if SANITIZED else (10_000, 20)
        words = ["late", "visibility=1", "concurrency=4"]
        ends = collections.Counter()
        listener = self.redis.client.pubsub()
        listener.psubscribe(META + "*")

        def listen():
            while (heard := listener.get_message()) is not None:
                if heard["type"] == "pmessage":
                    meta = json.loads(heard["data"])
                    ends[int(meta["task_id"]), meta["status"], meta["result"]] += 1

        def feed(more):
            nonlocal count
            self.send(more, lambda: round(self.rng.random() * 0.008, 4), first=count)
            count += more

        count = 0
        feed(least)
        workers = [self.start(*words) for _ in range(3)]
        kills = held = done = again = 0
        end = time.monotonic() + PATIENCE_S
        while sum(ends.values()) < count:
            self.assertLess(time.monotonic(), end, f"{kills} workers killed, {held} messages held, "
                            f"{again} runs again, {len(ends)} of {count} tasks done")
            pause = time.monotonic() + self.rng.uniform(0.02, 0.2)
            while time.monotonic() < pause:
                listen()
                time.sleep(0.002)
            # While there is something to be killed at; on a machine that is so busy that nobody gets
            # to work in time, nobody is killed.
            if self.redis.client.exists("celery") and sum(ends.values()) > done:
                done = sum(ends.values())
                at = self.rng.randrange(3)
                workers[at].end(signal.SIGKILL)
                held += self.redis.client.hlen("unacked")
                workers[at] = self.start(*words)
                kills += 1
            again = sum(n - 1 for n in self.noted().values())
            enough = kills >= kills_min and held > 0 and again > 0  # or nobody was killed at work
            if not enough and self.redis.client.llen("celery") < least // 10:
                feed(least // 4)
        self.wait_for_rest()
        self.assertGreaterEqual(kills, kills_min)
        self.assertGreater(held, 0)
        for worker in workers:
            self.stop(worker)
        self.redis.client.ping()  # what was published is on its way by now
        listen()
        self.assertEqual(ends, {(n, "SUCCESS", n): 1 for n in range(count)})
        self.check_stored(count)
        again = self.check_runs(count)
        self.assertGreater(again, 0)
        print(f"{count} tasks, {kills} workers killed, {again} runs again")

    def test_the_broker_is_killed_and_started_again(self):
        count = 400 if SANITIZED else 3000
        self.send(count, lambda: round(self.rng.random() * 0.01, 4))
        workers = [self.start("late", "visibility=5", "concurrency=4") for _ in range(2)]
        for connections, part in (1, 0.2), (2, 0.6):
            self.wait_for_log(workers, "Connected to", connections)
            wait_until(lambda: self.stored() >= count * part, f"{part} are done")
            self.redis.kill()
            self.wait_for_log(workers, "connecting again", connections)
            time.sleep(self.rng.uniform(0, 0.5))
            self.redis.start()
        wait_until(lambda: self.stored() >= count, "all are done")
        self.wait_for_rest()
        for worker in workers:
            self.stop(worker)
        self.check_stored(count)
        again = self.check_runs(count)
        print(f"{count} tasks, a broker killed twice, {again} runs again")

    def test_acknowledged_early_and_the_broker_killed(self):
        """What runs is not lost with the broker: its result is stored when it is back."""
        slow = self.start("concurrency=4")
        self.send(4, lambda: 1.0)
        wait_until(lambda: len(self.noted()) == 4, "all run")
        self.wait_for_rest()
        self.redis.kill()
        time.sleep(1.2)  # they end while there is no broker
        self.redis.start()
        wait_until(lambda: self.stored() == 4, "all are stored")
        self.wait_for_rest()
        self.stop(slow)
        self.check_stored(4)
        self.assertEqual(self.check_runs(4), 0)

    def test_a_worker_stands_still(self):
        """For longer than its messages count as its own. Others do them; it does no harm then."""
        words = ["late", "visibility=1", "concurrency=2"]
        still = self.start(*words)
        count = 0
        while True:  # until it stands in the midst of its work
            self.send(40, lambda: 0.05, first=count)
            count += 40
            wait_until(lambda: self.stored() >= count - 36, "it works")
            still.process.send_signal(signal.SIGSTOP)
            wait_until(still.stands_still, "it stands still")
            self.redis.client.ping()  # what it had sent has come by now
            held = self.redis.client.hlen("unacked")
            if held > 0 and len(self.noted()) > self.stored():
                break
            still.process.send_signal(signal.SIGCONT)
        other = self.start(*words)
        wait_until(lambda: self.stored() == count, "the other did all")
        still.process.send_signal(signal.SIGCONT)
        self.wait_for_rest()
        self.stop(other)
        self.redis.client.lpush("celery", text_of("add", "last", body_of(1, 2)))
        wait_until(lambda: self.redis.client.exists(META + "last"), "it works again")
        self.stop(still)
        self.redis.client.delete(META + "last")
        self.check_stored(count)
        self.assertGreater(self.check_runs(count), 0)

    def test_a_slow_worker_takes_no_more_than_it_may(self):
        """A long queue is the broker's, not the worker's: others have it, and memory is bounded."""
        count = 2000 if SANITIZED else 8000
        slow = self.start("late", "concurrency=1", "prefetch=4")
        self.redis.client.lpush("celery", text_of("sleeping", "slow", body_of(600)))
        wait_until(lambda: self.redis.client.hlen("unacked") == 1, "it is busy")
        before = slow.peak_kib()
        pipeline = self.redis.client.pipeline(transaction=False)
        for n in range(count):
            pipeline.lpush("celery", text_of("note", str(n), body_of(self.runs, n, 0) + b" " * 2000))
        pipeline.execute()
        wait_until(lambda: self.redis.client.hlen("unacked") == 4, "it has what it may have")
        self.assertEqual(self.redis.client.llen("celery"), count - 3)
        quick = self.start("late", "concurrency=4")
        wait_until(lambda: self.stored() == count - 3, "the other has done the rest")
        wait_until(lambda: self.redis.client.hlen("unacked") <= 4, "and has acknowledged it")
        self.assertEqual(self.redis.client.hlen("unacked"), 4)
        self.assertLess(slow.peak_kib() - before, 8 * 1024)
        slow.end(signal.SIGKILL)
        self.stop(quick)


if __name__ == "__main__":
    print(f"WEFT_SEED={SEED}", flush=True)
    sys.exit(0 if unittest.main(exit=False).result.wasSuccessful() else 1)
