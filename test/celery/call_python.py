# SPDX-License-Identifier: MIT
"""How a task of a worker in C ends, besides with a value: retried, rejected, lost with its process,
beyond its limit, in a cold shutdown; and what it stores on the way. Seen by Python's Celery.

Run by /usr/bin/python3, for which Debian's python3-celery and python3-redis are. Exits 77 when
they, or redis-server, are missing."""
import json
import os
import signal
import sys
import time
import unittest

from cluster import PATIENCE_S, Redis, Worker, wait_until

try:
    import celery
    import celery.exceptions
except ImportError as error:
    print(f"{error} (Debian: python3-celery)")
    sys.exit(77)

PROGRAM = sys.argv.pop(1)
ENGINES = "threads", "fibers", "processes"


class Case(unittest.TestCase):
    def setUp(self):
        SERVER.client.flushall()
        self.app = celery.Celery(broker=SERVER.url, backend=SERVER.url, set_as_current=False)
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

    def stop(self, worker):
        """A warm shutdown, that leaves nothing behind. Returns what was logged."""
        status, text = worker.end()
        self.assertEqual(status, 128 + signal.SIGTERM, text)
        self.assertNotIn("Sanitizer", text)
        for key in "unacked", "unacked_index", "celery":
            self.assertFalse(SERVER.client.exists(key), f"{key}: {text}")
        return text

    def call(self, name, *args, **options):
        return self.app.send_task(name, args, **options)

    def get(self, name, *args, **options):
        return self.call(name, *args, **options).get(PATIENCE_S)

    def wait_until_heard(self):
        wait_until(lambda: self.app.control.inspect(timeout=0.3, limit=1).ping(), "it hears")

    def running(self):
        answers = self.app.control.inspect(timeout=PATIENCE_S, limit=1).active()
        return [task["id"] for tasks in answers.values() for task in tasks]

    def fails(self, result):
        """Waits for the failure. Returns the exception, whatever it is."""
        result.get(PATIENCE_S, propagate=False)
        self.assertEqual(result.state, "FAILURE")
        return result.result

    def states(self, name, *args, **options):
        """All that is stored of one call, in its order."""
        task_id = "watched"
        SERVER.client.delete(f"celery-task-meta-{task_id}")
        with SERVER.client.pubsub() as channel:
            channel.subscribe(f"celery-task-meta-{task_id}")
            self.call(name, *args, task_id=task_id, **options)
            metas = []
            end = time.monotonic() + PATIENCE_S
            while not metas or metas[-1]["status"] not in ("SUCCESS", "FAILURE", "REVOKED"):
                self.assertLess(time.monotonic(), end, metas)
                message = channel.get_message(timeout=1)
                if message and message["type"] == "message":
                    metas.append(json.loads(message["data"]))
        return [(meta["status"], meta["result"]) for meta in metas]


class Ends(Case):
    def test_on_each_engine(self):
        for engine in ENGINES:
            with self.subTest(engine):
                SERVER.client.flushall()  # there are ids that come again
                worker = self.start(engine, "name=w@here")
                self.retries()
                self.progress()
                self.other_ends()
                result = self.call("who", 0, task_id="its-id", headers={"my-header": "mine"},
                                   soft_time_limit=30, time_limit=40)
                self.assertEqual(result.get(PATIENCE_S), "its-id|its-id|celery|w@here|mine|30|40")
                self.stop(worker)

    def retries(self):
        self.assertEqual(self.get("attempts", 5), 5)
        self.assertEqual(self.get("halve", 64), 6)
        self.assertEqual(self.get("flaky", 3, 11), 3)  # EAGAIN
        self.assertIsInstance(self.fails(self.call("flaky", 1, 5)), OSError)  # but not EIO
        self.assertEqual(self.states("hopeless", "no reply"), 2 * [
            ("RETRY", {"exc_type": "TimeoutError", "exc_message": ["no reply"],
                       "exc_module": "builtins"})] + [
            ("FAILURE", {"exc_type": "TimeoutError", "exc_message": ["no reply"],
                         "exc_module": "builtins"})])
        error = self.fails(self.call("hopeless", None, task_id="hopeless-id"))
        self.assertIsInstance(error, celery.exceptions.MaxRetriesExceededError)
        self.assertEqual(str(error), "Can't retry hopeless[hopeless-id] args:(None,) kwargs:{}")

    def progress(self):
        self.assertEqual(self.states("progress", 3),
                         [("PROGRESS", {"done": n}) for n in (1, 2, 3)] + [("SUCCESS", None)])

    def other_ends(self):
        self.assertEqual(self.get("rejected_once", 7), 7)
        quiet = [self.call("ends_quietly", how) for how in ("ignore", "reject", "succeed")]
        quiet.append(self.call("silent", expires=-1))
        with self.assertRaises(celery.exceptions.TaskRevokedError):
            self.call("ends_quietly", "succeed", expires=-1).get(PATIENCE_S)
        error = self.fails(self.call("ends_quietly", "fail"))
        self.assertEqual((type(error).__name__, error.args), ("Odd", ("how odd",)))
        self.get("who", 0)
        wait_until(lambda: not SERVER.client.exists("celery", "unacked"), "all is acknowledged")
        for result in quiet:
            self.assertFalse(SERVER.client.exists(f"celery-task-meta-{result.id}"))

    def test_a_process_that_dies(self):
        worker = self.start("processes")
        self.assertEqual(self.get("lost_once", 5), 5)
        error = self.fails(self.call("lost", 0))
        self.assertEqual(type(error).__name__, "WorkerLostError")
        error = self.fails(self.call("limited", 3600))
        self.assertEqual((type(error).__name__, error.args), ("TimeLimitExceeded", (0.3,)))
        self.assertEqual(self.get("attempts", 1), 1)
        self.stop(worker)

    def test_a_late_acknowledgement_comes_after_the_result(self):
        def held():
            return [json.loads(entry)[0]["headers"]["id"]
                    for entry in SERVER.client.hvals("unacked")]

        away = Redis()
        self.addCleanup(away.close)
        away.kill()
        worker = Worker(PROGRAM, SERVER.url, away.url, "late")
        self.workers.append(worker)
        waits = self.call("add", 1, 2)
        wait_until(lambda: worker.lines().count("succeeded") == 1, "it has its value")
        passes = self.call("add", 1, 2, ignore_result=True)
        wait_until(lambda: worker.lines().count("succeeded") == 2 and passes.id not in held(),
                   "the other is acknowledged")
        self.assertEqual(held(), [waits.id])
        away.start()
        wait_until(lambda: away.client.exists(f"celery-task-meta-{waits.id}"), "it is stored")
        self.stop(worker)

    def test_a_task_is_terminated(self):
        for engine, name in ("processes", "endless_early"), ("fibers", "sleeping"):
            with self.subTest(engine):
                worker = self.start(engine)
                self.wait_until_heard()
                result = self.call(name, 50)
                wait_until(lambda: self.running() == [result.id], "it runs")
                self.app.control.revoke(result.id, terminate=True)
                with self.assertRaises(celery.exceptions.TaskRevokedError) as caught:
                    result.get(PATIENCE_S)
                self.assertEqual(str(caught.exception), "terminated")
                self.assertEqual(self.get("attempts", 1), 1)
                self.stop(worker)

    def test_a_process_has_so_many_tasks(self):
        worker = self.start("processes", "concurrency=1", "child_tasks=2")
        self.wait_until_heard()
        pids = [self.get("process_id", 0) for _ in range(5)]
        inspect = self.app.control.inspect(timeout=PATIENCE_S, limit=1)
        pool = next(iter(inspect.stats().values()))["pool"]
        self.assertEqual(pool["max-tasks-per-child"], 2)
        self.assertIn(pids[-1], pool["processes"])  # beside one that is about to end
        self.assertNotIn(worker.process.pid, pool["processes"])
        pids.append(self.get("process_id", 0))
        self.assertEqual([pids.count(pid) for pid in pids], 6 * [2], pids)
        self.assertNotIn(worker.process.pid, pids)
        self.stop(worker)

    def test_a_cold_shutdown(self):
        for engine in "threads", "processes":
            with self.subTest(engine):
                first = self.start(engine, "concurrency=2")
                late = self.call("endless", 8)
                lost = self.call("endless_early", 9)
                wait_until(lambda: "endless[" in first.lines() and "endless_early[" in first.lines()
                           and SERVER.client.hlen("unacked") == 1, "both run")
                waiting = self.call("attempts", 0)
                status, text = first.end(signal.SIGQUIT)
                self.assertEqual(status, 1, text)
                self.assertEqual(SERVER.client.llen("celery"), 2, text)
                self.assertFalse(SERVER.client.exists("unacked"), text)
                second = self.start(engine)
                self.assertEqual(late.get(PATIENCE_S), 8)
                self.assertEqual(waiting.get(PATIENCE_S), 0)
                self.assertEqual(lost.state, "PENDING")
                self.stop(second)


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
