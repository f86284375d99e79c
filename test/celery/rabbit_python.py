# SPDX-License-Identifier: MIT
"""A worker in C on RabbitMQ, beside Python's and called by Python, with results in Redis and by
rpc://.

Run by /usr/bin/python3, for which Debian's python3-celery and python3-redis are. Exits 77 when
they, or a server, are missing."""
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import unittest

try:
    import celery
    import celery.exceptions
    import kombu
except ImportError as error:
    print(f"{error} (Debian: python3-celery)")
    sys.exit(77)

import cluster
import rabbit
from cluster import PATIENCE_S, wait_until

PROGRAM = sys.argv.pop(1)
PYTHON_WORKER = """
import celery, os, sys
app = celery.Celery(broker=sys.argv[1], backend=sys.argv[2])
app.conf.update(worker_hijack_root_logger=False)
@app.task(name="add")
def add(x, y):
    return x + y
@app.task(name="who")
def who():
    return os.getpid()
app.worker_main(["worker", "-P", "solo", "-n", "py@here", "-l", "INFO", "--without-mingle",
                 "--without-gossip", *sys.argv[3:]])
"""


class Case(unittest.TestCase):
    queue = None

    def setUp(self):
        REDIS.client.flushall()
        self.queue = f"q{time.monotonic_ns()}"  # nothing of another test's is in it
        self.apps = []
        self.workers = []
        self.rpc = self.make_app("rpc://")
        self.app = self.make_app(REDIS.url)
        self.addCleanup(self.close)

    def make_app(self, backend):
        app = celery.Celery(broker=RABBIT.url, backend=backend, set_as_current=False)
        app.conf.update(task_default_queue=self.queue, task_ignore_result=False,
                        broker_connection_retry_on_startup=False)
        self.apps.append(app)
        return app

    def close(self):
        for worker in self.workers:
            if not worker.log.closed:
                worker.end(signal.SIGKILL)
        for app in self.apps:
            app.close()

    def start(self, *words, backend="rpc://"):
        worker = cluster.Worker(PROGRAM, RABBIT.url, backend, f"queue={self.queue}", *words)
        self.workers.append(worker)
        return worker

    def stop(self, worker):
        """A warm shutdown. Returns what was logged."""
        status, text = worker.end()
        self.assertEqual(status, 128 + signal.SIGTERM, text)
        self.assertNotIn("Sanitizer", text)
        return text

    def counts(self):
        """How many messages wait in the queue, and how many consumers it has."""
        with kombu.Connection(RABBIT.url) as connection:
            declared = connection.default_channel.queue_declare(self.queue, passive=True)
        return declared.message_count, declared.consumer_count

    def values(self, results):
        """Of results in Redis; their own get() waits a second for each that is there already."""
        wait_until(lambda: all(r.ready() for r in results), "all results are there")
        return [r.result for r in results]

    def wait_for_worker(self):
        def there():
            try:
                return self.counts()[1] > 0
            except kombu.exceptions.ChannelError:
                return False
            except Exception as error:  # of py-amqp, which has no one name for "not found"
                if "404" not in str(error):
                    raise
                return False
        wait_until(there, "a worker consumes")


class Values(Case):
    def test_results_come_back_by_rpc(self):
        worker = self.start("started")
        send = self.rpc.send_task
        self.assertEqual(send("add", (2, 3)).get(PATIENCE_S), 5)
        self.assertEqual(send("add", (40,), {"y": 2}).get(PATIENCE_S), 42)
        self.assertIs(send("is_prime", (1000003,)).get(PATIENCE_S), True)
        value = {"é": [1.5, None, 10**40]}
        self.assertEqual(json.loads(send("echo", (value,)).get(PATIENCE_S)), value)
        self.assertEqual(len(send("echo", ("x" * 1_000_000,)).get(PATIENCE_S)), 1_000_002)
        with self.assertRaises(ValueError) as caught:
            send("fail", ("no such page",)).get(PATIENCE_S)
        self.assertEqual(str(caught.exception), "no such page")
        with self.assertRaises(celery.exceptions.NotRegistered):
            send("no.such.task").get(PATIENCE_S)
        results = [send("add", (i, i * i)) for i in range(300)]
        self.assertEqual([r.get(PATIENCE_S) for r in results], [i + i * i for i in range(300)])
        self.stop(worker)
        self.assertEqual(self.counts(), (0, 0))

    def test_events_and_remote_control(self):
        seen, ready = [], threading.Event()

        def watch():
            def note(event):
                seen.append(event["type"])
                receiver.should_stop = event["type"] == "worker-offline"
            with self.rpc.connection() as connection:
                receiver = self.rpc.events.Receiver(connection, handlers={"*": note})
                with receiver.consumer_context() as (listening, _channel, _consumers):
                    ready.set()
                    while not receiver.should_stop:
                        listening.drain_events(timeout=PATIENCE_S)

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        self.assertTrue(ready.wait(PATIENCE_S))
        worker = self.start("events", "name=c@here")
        self.assertEqual(self.rpc.send_task("add", (1, 2)).get(PATIENCE_S), 3)
        control = self.rpc.control
        wait_until(lambda: control.inspect(["c@here"], limit=1).ping(), "it hears")
        queues = control.inspect(["c@here"], limit=1, timeout=PATIENCE_S).active_queues()
        self.assertEqual([queue["name"] for queue in queues["c@here"]], [self.queue])
        other = self.queue + "-other"
        control.add_consumer(other, destination=["c@here"], reply=True, limit=1,
                             timeout=PATIENCE_S)
        self.assertEqual(self.rpc.send_task("add", (2, 2), queue=other).get(PATIENCE_S), 4)
        late = self.rpc.send_task("add", (1, 1), countdown=3600)
        wait_until(lambda: worker.lines().count("received") == 3, "it is received")
        control.revoke(late.id)
        control.shutdown(["c@here"])
        self.assertEqual(worker.end(0)[0], 0)
        thread.join(PATIENCE_S)
        self.assertLessEqual({"worker-online", "task-received", "task-started", "task-succeeded",
                              "worker-offline"}, set(seen))

    def test_a_countdown_is_waited_for_and_counts_not(self):
        worker = self.start("concurrency=1", "prefetch=1", backend=REDIS.url)
        begin = time.time()
        late = [self.app.send_task("add", (i, 1), countdown=1) for i in range(5)]
        self.assertEqual(self.app.send_task("add", (1, 1)).get(PATIENCE_S), 2)
        self.assertEqual(self.values(late), [1, 2, 3, 4, 5])
        self.assertGreaterEqual(time.time() - begin, 1)
        with self.assertRaises(celery.exceptions.TaskRevokedError):
            self.app.send_task("add", (1, 1), countdown=0.4, expires=0.2).get(PATIENCE_S)
        self.stop(worker)

    def test_queues_that_were_declared_otherwise(self):
        with kombu.Connection(RABBIT.url) as connection:
            connection.default_channel.queue_declare(
                self.queue, durable=True, auto_delete=False, arguments={"x-max-priority": 9})
        app = self.make_app(REDIS.url)
        app.conf.task_queues = [kombu.Queue(self.queue, queue_arguments={"x-max-priority": 9})]
        results = [app.send_task("add", (i, 0), priority=i) for i in range(10)]
        worker = self.start(backend=REDIS.url)
        self.assertEqual(self.values(results), list(range(10)))
        self.assertIn("inequivalent arg", self.stop(worker))

    def test_a_queue_that_is_deleted_is_made_anew(self):
        worker = self.start()
        self.assertEqual(self.rpc.send_task("add", (1, 1)).get(PATIENCE_S), 2)
        with kombu.Connection(RABBIT.url) as connection:
            connection.default_channel.queue_delete(self.queue)
        self.wait_for_worker()
        self.assertEqual(self.rpc.send_task("add", (2, 2)).get(PATIENCE_S), 4)
        self.stop(worker)


class Blocked(Case):
    def test_a_server_that_is_short_of_memory_gets_results_later(self):
        results = [self.rpc.send_task("add", (i, 1)) for i in range(50)]
        for result in results:
            result.backend.add_pending_result(result)  # it has its queue before the server is short
        RABBIT.control("set_vm_memory_high_watermark", "0")
        try:
            worker = self.start("late", "concurrency=4")
            wait_until(lambda: "received" in worker.lines(), "messages are taken all the same")
            self.assertFalse(any(r.ready() for r in results))
        finally:
            RABBIT.control("set_vm_memory_high_watermark", "0.4")
        self.assertEqual([r.get(PATIENCE_S) for r in results], [i + 1 for i in range(50)])
        self.assertNotIn("lost", self.stop(worker))
        self.assertEqual(self.counts(), (0, 0))


class Together(Case):
    def test_both_kinds_of_worker_on_one_queue(self):
        path = os.path.join(FOLDER.name, "py_worker.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(PYTHON_WORKER)
        # What is sent first lies there for both.
        results = [self.rpc.send_task("add", (i, 1)) for i in range(30)]
        python = cluster.Worker(sys.executable, path, RABBIT.url, "rpc://", "-Q", self.queue)
        worker = self.start("name=c@here")
        try:
            self.assertEqual([r.get(PATIENCE_S) for r in results], [i + 1 for i in range(30)])
            wait_until(lambda: self.counts()[1] == 2, "both consume")
            more = [self.rpc.send_task("add", (i, 2)) for i in range(30)]
            self.assertEqual([r.get(PATIENCE_S) for r in more], [i + 2 for i in range(30)])
            inspect = self.rpc.control.inspect(timeout=1, limit=2)
            wait_until(lambda: sorted(inspect.ping() or {}) == ["c@here", "py@here"], "both hear")
        finally:
            _, text = python.end()
        self.assertIn("add", self.stop(worker) + text)
        self.assertEqual(self.counts(), (0, 0))


class Ends(Case):
    def test_a_warm_shutdown_gives_back_what_has_not_begun(self):
        first = self.start("concurrency=1", backend=REDIS.url)
        gate = cluster.Gate(FOLDER.name)
        slow = self.app.send_task("gate", (gate.path,))
        wait_until(lambda: "received" in first.lines(), "it is taken")
        others = [self.app.send_task("add", (i, 100)) for i in range(3)]
        later = self.app.send_task("add", (7, 7), countdown=3600)
        wait_until(lambda: self.counts()[0] == 0, "all messages are taken")
        first.process.send_signal(signal.SIGTERM)
        wait_until(lambda: self.counts() == (4, 0), "they are back, and nobody consumes")
        second = self.start(backend=REDIS.url)
        self.assertEqual(self.values(others), [100, 101, 102])
        self.assertFalse(slow.ready())  # while the first still runs
        gate.open()
        status, text = first.end(0)
        self.assertEqual(status, 128 + signal.SIGTERM, text)
        self.assertEqual(slow.state, "SUCCESS")
        self.assertFalse(later.ready())
        second.end()

    def test_a_killed_worker_costs_nothing_with_late_acknowledgement(self):
        first = self.start("late", backend=REDIS.url)
        self.wait_for_worker()
        gate = cluster.Gate(FOLDER.name)
        result = self.app.send_task("gate", (gate.path,))
        others = [self.app.send_task("add", (i, i)) for i in range(20)]
        wait_until(lambda: self.counts()[0] == 0, "the messages are taken")
        first.end(signal.SIGKILL)
        second = self.start("late", backend=REDIS.url)
        gate.open()
        self.assertIsNone(result.get(PATIENCE_S))
        self.assertEqual(self.values(others), [2 * i for i in range(20)])
        self.stop(second)
        self.assertEqual(self.counts(), (0, 0))

    def test_workers_that_are_killed_lose_none_of_many(self):
        count, seed = 300 if cluster.SANITIZED else 1500, random.randrange(10**9)
        print(f"seed {seed}")
        chance = random.Random(seed)
        results = [self.app.send_task("add", (i, 1), task_id=f"{self.queue}-{i}")
                   for i in range(count)]
        words = ("late", "concurrency=4", "no-mingle")
        running = [self.start(*words, backend=REDIS.url) for _ in range(2)]
        for _ in range(6):
            time.sleep(chance.random() * 0.15)
            victim = chance.randrange(2)
            running[victim].end(signal.SIGKILL)
            running[victim] = self.start(*words, backend=REDIS.url)
        self.assertEqual(self.values(results), [i + 1 for i in range(count)])
        for worker in running:
            self.stop(worker)
        self.assertEqual(self.counts(), (0, 0))

    def test_who_may_not_come_in_is_told(self):
        url = RABBIT.url.replace("guest:guest", "guest:wrong")
        worker = cluster.Worker(PROGRAM, url, "rpc://")
        self.workers.append(worker)
        status, text = worker.end(0)
        self.assertEqual(status, 1, text)
        self.assertRegex(text, "(?i)access|refused")
        self.assertNotIn("wrong", text)


class WithoutABroker(Case):
    """The last of all: Python's connections have a hard time afterwards."""

    def test_a_broker_that_is_killed_and_comes_again(self):
        worker = self.start("concurrency=2", backend=REDIS.url)
        self.assertEqual(self.app.send_task("add", (1, 1)).get(PATIENCE_S), 2)
        gate = cluster.Gate(FOLDER.name)
        slow = self.app.send_task("gate", (gate.path,))
        later = [self.app.send_task("add", (i, 5), countdown=3) for i in range(10)]
        wait_until(lambda: self.counts()[0] == 0, "the messages are taken")
        RABBIT.kill()
        wait_until(lambda: "onnecting again" in worker.lines(), "the loss is noticed")
        gate.open()
        self.assertIsNone(slow.get(PATIENCE_S))  # it has run on meanwhile
        RABBIT.start()
        self.assertEqual(self.values(later), [5 + i for i in range(10)])
        self.assertEqual(self.app.send_task("add", (3, 4)).get(PATIENCE_S), 7)
        self.stop(worker)
        self.assertEqual(self.counts(), (0, 0))


if __name__ == "__main__":
    FOLDER = tempfile.TemporaryDirectory(prefix="weft-celery-")
    REDIS = cluster.Redis()
    RABBIT = rabbit.Rabbit()
    fine = False
    try:
        fine = unittest.main(exit=False).result.wasSuccessful()
    finally:
        RABBIT.close()
        REDIS.close()
        FOLDER.cleanup()
        sys.stdout.flush()
        sys.stderr.flush()
        # Not by the usual way: results that are still there would ask servers for half a minute.
        os._exit(0 if fine else 1)
