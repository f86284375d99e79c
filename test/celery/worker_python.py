# SPDX-License-Identifier: MIT
"""A worker in C, called by Python's Celery through a Redis of the test's own.

Run by /usr/bin/python3, for which Debian's python3-celery and python3-redis are. Exits 77 when
they, or redis-server, are missing."""
import json
import os
import signal
import sys
import time
import unittest

from cluster import PATIENCE_S, Gate, Redis, Worker, wait_until

try:
    import celery
    import celery.exceptions
except ImportError as error:
    print(f"{error} (Debian: python3-celery)")
    sys.exit(77)

PROGRAM = sys.argv.pop(1)


def make_app():
    app = celery.Celery(broker=SERVER.url, backend=SERVER.url, set_as_current=False)
    app.conf.update(broker_connection_retry_on_startup=False, task_ignore_result=False)
    return app


class Case(unittest.TestCase):
    def setUp(self):
        SERVER.client.flushall()
        self.app = make_app()
        self.workers = []
        self.addCleanup(self.close)

    def close(self):
        for worker in self.workers:
            if not worker.log.closed:
                worker.end(signal.SIGKILL)
        self.app.close()

    def start(self, *words):
        worker = Worker(PROGRAM, SERVER.url, SERVER.url, *words)
        self.workers.append(worker)
        return worker

    def stop(self, worker, number=signal.SIGTERM):
        """A warm shutdown, that leaves nothing behind. Returns what was logged."""
        status, text = worker.end(number)
        self.assertEqual(status, 128 + signal.SIGTERM, text)
        self.assertNotIn("Sanitizer", text)
        self.assertEqual(SERVER.client.hlen("unacked"), 0, text)
        self.assertEqual(SERVER.client.zcard("unacked_index"), 0, text)
        return text

    def call(self, name, *args, **options):
        return self.app.send_task(name, args, **options)

    def get(self, name, *args, **options):
        return self.call(name, *args, **options).get(PATIENCE_S)


class Values(Case):
    def test_results_arrive(self):
        worker = self.start()
        self.assertEqual(self.get("add", 2, 3), 5)
        self.assertEqual(self.get("add", 2**62, -1), 2**62 - 1)
        self.assertEqual(self.get("add", 40, kwargs={"y": 2}), 42)
        self.assertEqual(self.get("add", kwargs={"y": 2, "x": 3}), 5)
        self.assertIs(self.get("is_prime", 1000003), True)
        self.assertIs(self.get("is_prime", 1000001), False)
        for value in ["x" * 3_000_000, {"é": [1.5, None, 10**40, "\ud800"]}, []]:
            text = self.get("echo", value)
            self.assertEqual(json.loads(text), value)
        self.stop(worker)

    def test_what_is_stored_is_what_python_stores(self):
        worker = self.start("started")
        result = self.call("add", 1, 2)
        self.assertEqual(result.get(PATIENCE_S), 3)
        meta = result.backend.get_task_meta(result.id)
        self.assertEqual({key: meta[key] for key in ("status", "result", "traceback", "children")},
                         {"status": "SUCCESS", "result": 3, "traceback": None, "children": []})
        self.assertRegex(str(meta["date_done"]), r"^20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d")
        left = SERVER.client.ttl(f"celery-task-meta-{result.id}")
        self.assertTrue(86000 < left <= 86400, left)
        gate = Gate(SERVER.folder)
        slow = self.call("gate", gate.path)
        wait_until(lambda: slow.state == "STARTED", "STARTED")
        self.assertEqual(slow.info["pid"], worker.process.pid)
        self.assertRegex(slow.info["hostname"], "^celery@.")
        gate.open()
        self.assertIsNone(slow.get(PATIENCE_S))
        self.stop(worker)

    def test_failures_are_exceptions(self):
        worker = self.start()
        with self.assertRaises(ValueError) as caught:
            self.get("fail", "no such page")
        self.assertEqual(str(caught.exception), "no such page")
        with self.assertRaises(OverflowError):
            self.get("add", 2**63 - 1, 1)
        with self.assertRaises(TypeError) as caught:
            self.get("add", 1)
        self.assertEqual(str(caught.exception), "add() missing 1 required positional argument: 'y'")
        with self.assertRaises(TypeError):
            self.get("add", 1, "two")
        with self.assertRaises(celery.exceptions.NotRegistered) as caught:
            self.get("no.such.task")
        self.assertIn("no.such.task", str(caught.exception))
        with self.assertRaises(celery.exceptions.NotRegistered):
            self.get("wfi_celery_serve", 1)
        self.assertIn("no.such.task", self.stop(worker))

    def test_what_is_no_message_is_dropped(self):
        worker = self.start("concurrency=1", "prefetch=1")
        SERVER.client.lpush("celery", "rubbish", '{"body": "", "headers": {}, "properties": {}}')
        self.assertEqual(self.get("add", 1, 1), 2)
        wait_until(lambda: worker.lines().count("is dropped") == 2, "both are dropped")
        self.stop(worker)

    def test_nothing_is_stored_where_nothing_is_wanted(self):
        worker = self.start()
        ignored = [self.call("add", 1, 1, ignore_result=True),
                   self.call("fail", "quietly", ignore_result=True)]
        self.assertEqual(self.get("add", 1, 1), 2)
        text = self.stop(worker)
        self.assertIn("quietly", text)
        for result in ignored:
            self.assertFalse(SERVER.client.exists(f"celery-task-meta-{result.id}"))

    def test_success_is_final(self):
        worker = self.start()
        self.call("add", 1, 1, task_id="twice").get(PATIENCE_S)
        self.call("fail", "late", task_id="twice")
        wait_until(lambda: "late" in worker.lines(), "the second run")
        self.stop(worker)
        self.assertEqual(self.app.AsyncResult("twice").get(PATIENCE_S), 2)

    def test_a_thousand_results_are_exact(self):
        worker = self.start("concurrency=4")
        results = [self.call("add", i, i * i) for i in range(1000)]
        self.assertEqual([r.get(PATIENCE_S) for r in results], [i + i * i for i in range(1000)])
        self.stop(worker)

    def test_one_at_a_time_begin_in_their_order(self):
        path = os.path.join(SERVER.folder, "runs")
        results = [self.call("note", path, i, 0.0) for i in range(200)]
        worker = self.start("concurrency=1", "prefetch=50")
        self.assertEqual([r.get(PATIENCE_S) for r in results], list(range(200)))
        with open(path, encoding="ascii") as file:
            self.assertEqual([int(line) for line in file], list(range(200)))
        os.remove(path)
        self.stop(worker)


class Times(Case):
    def test_a_countdown_is_waited_for(self):
        worker = self.start("concurrency=1", "prefetch=1")
        # More than may be held: those that wait for their time do not count.
        for i in range(5):
            self.call("add", i, 1, countdown=3600)
        self.assertEqual(self.get("add", 1, 1), 2)
        begin = time.time()
        late = [self.call("add", i, 1, countdown=0.5) for i in range(5)]
        self.assertEqual([r.get(PATIENCE_S) for r in late], [1, 2, 3, 4, 5])
        self.assertGreaterEqual(time.time() - begin, 0.5)
        self.stop(worker)

    def test_what_has_expired_is_revoked(self):
        waits = [self.call("add", 1, 1, expires=0.2) for _ in range(3)]
        time.sleep(0.25)
        worker = self.start("concurrency=1", "prefetch=1")  # each makes room for the next
        for result in *waits, self.call("add", 1, 1, countdown=0.4, expires=0.2):
            with self.assertRaises(celery.exceptions.TaskRevokedError) as caught:
                result.get(PATIENCE_S)
            self.assertEqual(str(caught.exception), "expired")
            self.assertEqual(result.state, "REVOKED")
        self.assertEqual(self.get("add", 1, 1, expires=60), 2)
        self.stop(worker)

    def test_time_limits(self):
        worker = self.start("fibers")  # where a task can be woken up
        begin = time.monotonic()
        with self.assertRaises(Exception) as caught:
            self.get("sleeping", 50, soft_time_limit=0.1)
        self.assertEqual(type(caught.exception).__name__, "SoftTimeLimitExceeded")
        with self.assertRaises(Exception) as caught:
            self.get("sleeping", 50, time_limit=0.1)
        self.assertEqual(type(caught.exception).__name__, "TimeLimitExceeded")
        self.assertEqual(caught.exception.args, (0.1,))
        self.assertLess(time.monotonic() - begin, 40)
        self.stop(worker)


class Ends(Case):
    def test_a_warm_shutdown_gives_back_what_has_not_begun(self):
        first = self.start("concurrency=1")
        gate = Gate(SERVER.folder)
        slow = self.call("gate", gate.path)
        wait_until(lambda: SERVER.client.llen("celery") == 0, "the first message is taken")
        others = [self.call("add", i, 100) for i in range(3)]
        later = self.call("add", 7, 7, countdown=3600)
        wait_until(lambda: SERVER.client.llen("celery") == 0, "all messages are taken")
        first.process.send_signal(signal.SIGTERM)
        wait_until(lambda: SERVER.client.llen("celery") == 4, "what has not begun is back")
        gate.open()
        self.assertIn("messages given back: 4 of 4", self.stop(first, 0))
        self.assertIsNone(slow.get(PATIENCE_S))
        self.assertEqual(SERVER.client.llen("celery"), 4)
        ids = [json.loads(m)["headers"]["id"] for m in SERVER.client.lrange("celery", 0, -1)]
        self.assertEqual(ids, [later.id] + [r.id for r in reversed(others)])  # the right is next
        second = self.start()
        self.assertEqual([r.get(PATIENCE_S) for r in others], [100, 101, 102])
        wait_until(lambda: SERVER.client.llen("celery") == 0, "the eta's message is taken")
        second.end()

    def test_a_killed_worker_costs_nothing_with_late_acknowledgement(self):
        first = self.start("late", "visibility=1")
        gate = Gate(SERVER.folder)
        result = self.call("gate", gate.path)
        wait_until(lambda: SERVER.client.hlen("unacked") == 1, "the message is taken")
        first.end(signal.SIGKILL)
        self.assertEqual(SERVER.client.hlen("unacked"), 1)
        second = self.start("late", "visibility=1")
        gate.open()
        self.assertIsNone(result.get(PATIENCE_S))
        self.stop(second)

    def test_a_process_that_dies_fails_its_task(self):
        worker = self.start("processes")
        with self.assertRaises(Exception) as caught:
            self.get("die", 3)
        self.assertEqual(type(caught.exception).__name__, "WorkerLostError")
        self.assertEqual(self.get("add", 2, 3), 5)
        self.stop(worker)

    def test_a_hard_limit_ends_the_process(self):
        worker = self.start("processes")
        begin = time.monotonic()
        with self.assertRaises(Exception) as caught:
            self.get("deaf", 50, time_limit=0.2)
        self.assertEqual(type(caught.exception).__name__, "TimeLimitExceeded")
        self.assertEqual(caught.exception.args, (0.2,))
        with self.assertRaises(Exception) as caught:
            self.get("sleeping", 50, soft_time_limit=0.1, time_limit=40)
        self.assertEqual(type(caught.exception).__name__, "SoftTimeLimitExceeded")
        self.assertEqual(self.get("add", 2, 3), 5)
        self.assertLess(time.monotonic() - begin, 40)
        self.stop(worker)

    def test_a_broker_that_refuses_is_told(self):
        SERVER.client.set("celery", "not a list")
        status, text = self.start().end(0)
        self.assertEqual(status, 1)
        self.assertIn("WRONGTYPE", text)


if __name__ == "__main__":
    SERVER = Redis()
    fine = False
    try:
        fine = unittest.main(exit=False).result.wasSuccessful()
    finally:
        SERVER.close()
        sys.stdout.flush()
        sys.stderr.flush()
        # Not by the usual way: results that are still there would ask Redis for half a minute.
        os._exit(0 if fine else 1)
