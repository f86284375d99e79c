# SPDX-License-Identifier: MIT
"""Remote control and events of a worker in C: Celery's own commands against it, and what it answers
beside what Python's worker answers.

    control_python.py PROGRAM [rabbit]

With RabbitMQ as the broker it is the same; results are in Redis both times.

Run by /usr/bin/python3, for which Debian's python3-celery and python3-redis are. Exits 77 when
they, or the servers, are missing."""
import contextlib
import copy
import io
import itertools
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

try:
    import celery
    import celery.exceptions
    from celery.bin.celery import celery as command
except ImportError as missing:
    print(f"{missing} (Debian: python3-celery)")
    sys.exit(77)
from cluster import PATIENCE_S, SANITIZED, WITH_US, Gate, Redis, Worker, wait_until

PROGRAM = sys.argv.pop(1)
RABBIT = "rabbit" in sys.argv
if RABBIT:
    sys.argv.remove("rabbit")
    from rabbit import Rabbit
OURS, PYTHONS = "w1@here", "py@here"
# With the names of those who are to answer nobody waits longer than for these answers.
WAIT = ["-t", str(PATIENCE_S)]
ONE = [*WAIT, "-d", OURS]

APP = """
import time
import celery
app = celery.Celery(broker=%(broker)r, backend=%(backend)r)
app.conf.update(broker_connection_retry_on_startup=False, worker_send_task_events=True)

@app.task(name="sleeping")
def sleeping(seconds):
    time.sleep(seconds)
    return seconds

@app.task(name="add")
def add(x, y):
    return x + y

@app.task(name="fail")
def fail(message):
    raise ValueError(message)
"""


class PythonWorker:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="weft-celery-")
        with open(os.path.join(self.folder.name, "app.py"), "w", encoding="ascii") as file:
            file.write(APP % {"broker": BROKER.url, "backend": SERVER.url})
        self.process = subprocess.Popen(
            WITH_US + [sys.executable, "-m", "celery", "-A", "app", "worker", "-n", PYTHONS, "-Q",
                       "python", "-c", "2", "--without-gossip", "--without-mingle", "-l", "ERROR"],
            cwd=self.folder.name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "C_FORCE_ROOT": "1",
                              "TMPDIR": self.folder.name})

    def close(self):
        os.killpg(self.process.pid, signal.SIGKILL)  # with its pool
        self.process.wait()
        self.folder.cleanup()


def run_command(words):
    """One of Celery's commands; in a process that was forked from here, as to start Python and
    import Celery takes a second."""
    out = io.StringIO()
    status = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            command.main(["-b", BROKER.url, *words], prog_name="celery", standalone_mode=False)
        except SystemExit as ended:
            status = ended.code
        except Exception as error:  # as click shows it: the message, and a status
            print(f"{type(error).__name__}: {error}")
            status = getattr(error, "exit_code", 1)
    return status, out.getvalue()


def run_commands(*commands):
    return COMMANDS.map(run_command, commands, 1)


def shape(value):
    """What a value is made of, without what is only of the moment."""
    if isinstance(value, dict):
        return {key: shape(value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) \
        else type(value).__name__


class Watcher:
    """Events, as a program like Flower takes them."""

    def __init__(self, app):
        self.events = []
        self.app = app
        self.ready = threading.Event()
        self.stop = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        self.ready.wait(PATIENCE_S)

    def run(self):
        with self.app.connection() as connection:
            receiver = self.app.events.Receiver(connection, handlers={"*": self.events.append})
            with receiver.consumer_context(wakeup=False) as (own, _, _):
                self.ready.set()
                while not self.stop:
                    with contextlib.suppress(TimeoutError):
                        own.drain_events(timeout=0.1)

    def of(self, kind, **fields):
        return [event for event in list(self.events) if event["type"] == kind and
                all(event.get(key) == value for key, value in fields.items())]

    def wait(self, kind, **fields):
        wait_until(lambda: self.of(kind, **fields), f"{kind} {fields} of {self.kinds()}")
        return self.of(kind, **fields)[0]

    def kinds(self):
        return [event["type"] for event in list(self.events)]

    def close(self):
        self.stop = True
        self.thread.join()


class Case(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        SERVER.client.flushall()
        self.app = celery.Celery(broker=BROKER.url, backend=SERVER.url, set_as_current=False)
        for queue in ["celery", "second", "python"] if RABBIT else []:
            with self.app.connection() as connection:
                connection.default_channel.queue_delete(queue)
        self.workers = []
        self.addCleanup(self.close)

    def close(self):
        for worker in self.workers:
            if not worker.log.closed:
                worker.end(signal.SIGKILL)
        self.app.close()

    def start(self, *words, name=OURS):
        worker = Worker(PROGRAM, BROKER.url, SERVER.url, f"name={name}", *words)
        self.workers.append(worker)
        wait_until(lambda: f"{name} ready" in worker.lines(), "the worker is ready")
        # Subscribed a moment later.
        wait_until(lambda: self.app.control.inspect([name], timeout=0.2, limit=1).ping(), "pong")
        return worker

    def stop(self, worker):
        status, text = worker.end()
        self.assertEqual(status, 128 + signal.SIGTERM, text)
        self.assertNotIn("Sanitizer", text)
        return text

    def call(self, name, *args, **options):
        return self.app.send_task(name, args, **options)

    def ask(self, method, name=OURS, **arguments):
        """What the one worker answers."""
        answers = self.app.control.broadcast(method, arguments=arguments, destination=[name],
                                             reply=True, limit=1, timeout=PATIENCE_S)
        self.assertEqual(len(answers), 1)
        return answers[0][name]

    def length(self, queue):
        with self.app.connection() as connection:
            return connection.default_channel.queue_declare(queue, passive=True).message_count

    def ids(self, method, name=OURS):
        return [task.get("request", task)["id"] for task in self.ask(method, name)]

    def fill(self, queue="celery", name=OURS):
        """Two that run, two that wait for a slot, one that waits for its eta."""
        running = [self.call("sleeping", 3600, queue=queue) for _ in range(2)]
        wait_until(lambda: len(self.ids("active", name)) == 2, "two run")
        waiting = [self.call("sleeping", 3600, queue=queue) for _ in range(2)]
        wait_until(lambda: len(self.ids("reserved", name)) == 2, "two wait")
        later = self.call("add", 1, 2, countdown=3600, queue=queue)
        wait_until(lambda: self.ids("scheduled", name) == [later.id], "one waits for its eta")
        return running, waiting, later


class Answers(Case):
    def test_commands_beside_pythons_worker(self):
        """Each inspect command, and status, with a worker in Python beside the one in C: the
        answers have one shape."""
        python = PythonWorker()
        self.addCleanup(python.close)
        begin = time.time()
        worker = self.start("fibers", "concurrency=2")
        wait_until(lambda: self.app.control.inspect([PYTHONS], timeout=0.5, limit=1).ping(),
                   "Python's worker is there")
        running, waiting, later = self.fill()
        theirs = self.fill("python", PYTHONS)
        self.ask("revoke", task_id="one")
        self.ask("revoke", name=PYTHONS, task_id="one")
        methods = ["ping", "active", "reserved", "scheduled", "registered", "stats",
                   "active_queues", "revoked", "conf", "report", "clock"]
        wait = [*WAIT, "-d", f"{OURS},{PYTHONS}"]
        commands = [["inspect", *wait, "-j", method] for method in methods]
        commands += [["inspect", *wait, "-j", "query_task", running[0].id, waiting[0].id,
                      theirs[0][0].id, theirs[1][0].id, "none"],
                     ["status", *wait], ["status", "-t", "1", "-d", "nobody@here"],
                     ["inspect", *ONE, "ping"], ["inspect", *wait, "nosuch"]]
        done = run_commands(*commands)
        answers = {}
        for method, (status, text) in zip(methods + ["query_task"], done):
            self.assertEqual(status, 0, text)
            answers[method] = json.loads(text)
            self.assertEqual(sorted(answers[method]), [PYTHONS, OURS], text)
        own = {method: answer[OURS] for method, answer in answers.items()}
        beside = {method: answer[PYTHONS] for method, answer in answers.items()}
        for method in methods + ["query_task"]:
            with self.subTest(method):
                self.compare(method, copy.deepcopy(own[method]), beside[method])
        self.assertEqual({task["id"] for task in own["active"]}, {r.id for r in running})
        self.assertEqual({task["id"] for task in own["reserved"]}, {r.id for r in waiting})
        self.assertEqual(own["scheduled"][0]["request"]["args"], [1, 2])
        self.assertEqual([own["query_task"][r.id][0] for r in (running[0], waiting[0])],
                         ["active", "reserved"])
        self.assertEqual(own["active"][0]["args"], [3600])
        self.assertTrue(begin < own["active"][0]["time_start"] < time.time())
        self.assertEqual(own["active"][0]["worker_pid"], worker.process.pid)
        self.assertEqual(own["stats"]["total"], {"sleeping": 2})
        self.assertEqual(own["stats"]["pool"]["max-concurrency"], 2)
        self.assertEqual(own["stats"]["pid"], worker.process.pid)
        self.assertTrue(0 <= own["stats"]["uptime"] <= time.time() - begin + 1)
        self.assertIn("add", own["registered"])
        self.assertEqual(own["registered"], sorted(own["registered"]))
        self.assertEqual(own["revoked"], ["one"])
        self.assertEqual([queue["name"] for queue in own["active_queues"]], ["celery"])
        self.assertIn("weft", own["report"]["ok"])
        # status, and what nobody answers
        status, text = done[len(methods) + 1]
        self.assertEqual(status, 0, text)
        self.assertRegex(text, rf"{OURS}: OK")
        self.assertRegex(text, "2 nodes online")
        self.assertNotEqual(done[len(methods) + 2][0], 0)
        self.assertRegex(done[len(methods) + 3][1], rf"{OURS}: OK\n +pong\n+1 node online")
        self.assertNotEqual(done[len(methods) + 4][0], 0)
        for result in running + waiting:
            self.ask("terminate", task_id=result.id, signal="TERM")
        for result in theirs[0] + theirs[1]:
            self.ask("revoke", name=PYTHONS, task_id=result.id, terminate=True, signal="KILL")
        self.stop(worker)

    def test_a_task_in_a_process_is_told_with_that_process(self):
        worker = self.start("processes", "concurrency=1")
        result = self.call("sleeping", 3600)
        wait_until(lambda: any(task["worker_pid"] for task in self.ask("active")), "it runs")
        task, = self.ask("active")
        self.assertIn(task["worker_pid"], self.ask("stats")["pool"]["processes"])
        self.assertNotEqual(task["worker_pid"], worker.process.pid)
        self.ask("terminate", task_id=result.id, signal="KILL")
        self.stop(worker)

    def compare(self, method, own, beside):
        if method == "stats":  # of Python's pool of processes there is more to say
            del beside["pool"]["writes"]
            own["pool"]["processes"] *= 2
            own["total"] = beside["total"] = {}
            for answer in own, beside:  # nor is an address by a path the same to both
                for key in "hostname", "port", "uri_prefix", "virtual_host":
                    self.assertIn(key, answer["broker"])
                    answer["broker"][key] = None
        elif method == "conf":  # each has its own settings: none that is not Celery's
            self.assertLessEqual(set(own), set(self.app.conf.table(with_defaults=True)))
            return
        elif method == "query_task":
            own, beside = [list(answer.values())[0] for answer in (own, beside)]
        self.assertEqual(shape(own), shape(beside))

    def test_who_is_meant(self):
        worker = self.start()
        other = self.start(name="w2@there")
        broadcast = lambda timeout=PATIENCE_S, **which: sorted(
            name for answer in self.app.control.broadcast("ping", reply=True, timeout=timeout,
                                                          **which) for name in answer)
        self.assertEqual(broadcast(limit=2), [OURS, "w2@there"])
        self.assertEqual(broadcast(pattern="*@there", matcher="glob", limit=1), ["w2@there"])
        self.assertEqual(broadcast(pattern="w[12]@h", matcher="pcre", limit=1), [OURS])
        self.assertEqual(broadcast(pattern="*@nowhere", matcher="glob", timeout=0.5), [])
        self.assertEqual(self.ask("nosuch"), {"error": "KeyError('nosuch')"})
        self.assertIn("TypeError", self.ask("revoke")["error"])
        self.stop(worker)
        self.stop(other)

    def test_revoked_ids_reach_workers_that_come_later(self):
        worker = self.start("no-mingle")
        answer = self.ask("hello", from_node="x@y", revoked={"from-afar": [1.5, "from-afar"]})
        self.assertEqual(list(answer["revoked"]), ["from-afar"])
        self.assertGreater(answer["clock"], 0)
        self.assertIsNone(self.ask("hello", from_node=OURS))
        self.assertEqual(self.ask("revoked"), ["from-afar"])
        result = self.call("add", 1, 2, task_id="from-afar")
        with self.assertRaises(celery.exceptions.TaskRevokedError):
            result.get(PATIENCE_S)
        second = self.start_mingled("w2@there")
        wait_until(lambda: self.ask("revoked", name="w2@there") == ["from-afar"], "it learns it")
        self.assertNotIn("mingle", self.stop(worker))
        self.stop(second)

    @unittest.skipIf(RABBIT, "one connection among others is cut on Redis")
    def test_revoked_ids_are_told_after_a_loss_of_connection(self):
        other = self.start("no-mingle", name="w2@there")
        known = {client["id"] for client in SERVER.client.client_list()}
        worker = self.start_mingled(OURS)
        self.ask("revoke", task_id="here")
        self.ask("revoke", name="w2@there", task_id="there")
        end = time.monotonic() + PATIENCE_S
        for times in itertools.count(2):
            for client in SERVER.client.client_list():
                if client["id"] not in known:
                    SERVER.client.client_kill_filter(_id=client["id"])
            wait_until(lambda: worker.lines().count("mingle: ") >= times, "it mingles again")
            if worker.lines().count("mingle: sync with 1 nodes") >= 2:
                break
            self.assertLess(time.monotonic(), end, "nobody answers in time")
        for name in OURS, "w2@there":
            wait_until(lambda: set(self.revoked(name)) == {"here", "there"}, "both know of both")
        self.assertIn("connecting again", self.stop(worker))
        self.assertNotIn("connecting again", self.stop(other))

    def start_mingled(self, name):
        """It waits a second for answers, which may come later on a busy machine: then again."""
        end = time.monotonic() + PATIENCE_S
        while True:
            worker = self.start(name=name)
            wait_until(lambda: "mingle: " in worker.lines(), "it has mingled")
            if "mingle: sync with 1 nodes" in worker.lines():
                return worker
            self.stop(worker)
            self.assertLess(time.monotonic(), end, "nobody answers in time")

    def revoked(self, name):
        """What it answers within a moment; it may be cut off."""
        answers = self.app.control.inspect([name], timeout=0.5, limit=1).revoked() or {}
        return answers.get(name, [])


class Changes(Case):
    def test_revoking(self):
        worker = self.start("fibers", "concurrency=2")
        running, waiting, later = self.fill()
        answers = run_commands(["control", *ONE, "revoke", later.id, waiting[1].id],
                               ["control", *ONE, "terminate", "SIGKILL", running[0].id])
        for status, text in answers:
            self.assertEqual(status, 0, text)
        self.assertRegex(answers[0][1], f"tasks {later.id}, {waiting[1].id} flagged as revoked")
        self.assertRegex(answers[1][1], f"terminate: {running[0].id}")
        for result, why in [(later, "revoked"), (running[0], "terminated")]:
            with self.assertRaises(celery.exceptions.TaskRevokedError) as caught:
                result.get(PATIENCE_S)
            self.assertEqual(str(caught.exception), why)
            self.assertEqual(result.state, "REVOKED")
        wait_until(lambda: set(self.ids("active")) == {running[1].id, waiting[0].id}, "the next")
        self.assertEqual(self.ask("revoke", task_id="unknown", terminate=True),
                         {"ok": "terminate: tasks unknown"})
        self.assertIn("KeyError", self.ask("terminate", task_id="x", signal="NONE")["error"])
        self.ask("terminate", task_id=[running[1].id, waiting[0].id], signal="TERM")
        with self.assertRaises(celery.exceptions.TaskRevokedError):  # its turn comes only now
            waiting[1].get(PATIENCE_S)
        # Ids that nobody has seen yet count, too.
        self.ask("revoke", task_id=["a", "b"])
        for task_id in "a", "b":
            with self.assertRaises(celery.exceptions.TaskRevokedError):
                self.call("add", 1, 2, task_id=task_id).get(PATIENCE_S)
        self.assertEqual(self.call("add", 1, 2).get(PATIENCE_S), 3)
        self.stop(worker)

    def test_rate_limits(self):
        worker = self.start("concurrency=4")
        status, text = run_commands(["control", *ONE, "rate_limit", "add", "5/s"])[0]
        self.assertEqual(status, 0, text)
        self.assertIn("new rate limit set successfully", text)
        self.assertIn("add [rate_limit=5/s]", self.ask("registered"))
        begin = time.monotonic()
        results = [self.call("add", i, 0) for i in range(4)]
        self.assertEqual(self.call("is_prime", 7).get(PATIENCE_S), True)  # has none
        self.assertEqual([r.get(PATIENCE_S) for r in results], [0, 1, 2, 3])
        self.assertGreaterEqual(time.monotonic() - begin, 0.6)
        # Those who wait for their turn see another limit, and that they are revoked.
        self.ask("rate_limit", task_name="add", rate_limit="1/h")
        results = [self.call("add", 0, 0)]
        self.assertEqual(results[0].get(PATIENCE_S), 0)
        results += [self.call("add", i, 0) for i in range(1, 4)]
        wait_until(lambda: len(self.ids("reserved")) == 3, "three wait for their turn")
        self.ask("revoke", task_id=results[1].id)
        with self.assertRaises(celery.exceptions.TaskRevokedError):
            results[1].get(PATIENCE_S)
        self.assertEqual(self.ask("rate_limit", task_name="add", rate_limit=0),
                         {"ok": "rate limit disabled successfully"})
        self.assertEqual([r.get(PATIENCE_S) for r in results[2:]], [2, 3])
        self.assertEqual(self.ask("rate_limit", task_name="nosuch", rate_limit="1/s"),
                         {"error": "unknown task"})
        self.assertIn("Invalid rate limit",
                      self.ask("rate_limit", task_name="add", rate_limit="often")["error"])
        self.stop(worker)

    def test_time_limits(self):
        worker = self.start("fibers")
        status, text = run_commands(["control", *ONE, "time_limit", "sleeping", "0.1", "50"])[0]
        self.assertEqual((status, "time limits set successfully" in text), (0, True), text)
        with self.assertRaises(Exception) as caught:
            self.call("sleeping", 3600).get(PATIENCE_S)
        self.assertEqual(type(caught.exception).__name__, "SoftTimeLimitExceeded")
        self.ask("time_limit", task_name="sleeping", hard=0.1)
        with self.assertRaises(Exception) as caught:
            self.call("sleeping", 3600).get(PATIENCE_S)
        self.assertEqual(type(caught.exception).__name__, "TimeLimitExceeded")
        self.ask("time_limit", task_name="sleeping")
        self.assertEqual(self.call("sleeping", 0.2).get(PATIENCE_S), 0.2)
        self.assertEqual(self.ask("time_limit", task_name="nosuch"), {"error": "unknown task"})
        self.stop(worker)

    def test_the_pool_grows_and_shrinks(self):
        for words in ["fibers"], []:
            worker = self.start("concurrency=1", "prefetch=2", *words)
            results = [self.call("sleeping", 3600) for _ in range(4)]
            wait_until(lambda: len(self.ids("active")) == 1, "one runs")
            wait_until(lambda: len(self.ids("reserved")) == 2, "two more are held")
            status, text = run_commands(["control", *ONE, "pool_grow", "3"])[0]
            self.assertEqual((status, "pool will grow" in text), (0, True), text)
            wait_until(lambda: len(self.ids("active")) == 4, "four run")
            self.assertEqual(self.ask("stats")["pool"]["max-concurrency"], 4)
            self.assertEqual(self.ask("stats")["prefetch_count"], 8)
            self.assertEqual(self.ask("pool_shrink", n=3), {"ok": "pool will shrink"})
            self.assertIn("ValueError", self.ask("pool_shrink", n=1)["error"])
            self.ask("terminate", task_id=[r.id for r in results], signal="TERM")
            wait_until(lambda: not self.ids("active"), "none runs")
            gate = Gate(SERVER.folder)
            results = [self.call("gate", gate.path) for _ in range(3)]
            wait_until(lambda: len(self.ids("active") + self.ids("reserved")) == 3, "all are held")
            self.assertEqual(len(self.ids("active")), 1)
            gate.open()
            self.assertEqual([r.get(PATIENCE_S) for r in results], [None] * 3)
            self.stop(worker)

    def test_queues_come_and_go(self):
        worker = self.start()
        result = self.call("add", 1, 2, queue="second")
        status, text = run_commands(["control", *ONE, "add_consumer", "second"])[0]
        self.assertEqual((status, "add consumer second" in text), (0, True), text)
        self.assertEqual(result.get(PATIENCE_S), 3)
        self.assertEqual([queue["name"] for queue in self.ask("active_queues")],
                         ["celery", "second"])
        self.assertEqual(self.ask("add_consumer", queue="second"), {"ok": "add consumer second"})
        self.assertEqual(self.ask("cancel_consumer", queue="second"),
                         {"ok": "no longer consuming from second"})
        self.assertEqual([queue["name"] for queue in self.ask("active_queues")], ["celery"])
        # A message that was on its way is taken; those that follow are not.
        self.call("add", 1, 2, queue="second")
        self.call("add", 1, 2, queue="second")
        self.assertEqual(self.call("add", 3, 4).get(PATIENCE_S), 7)
        self.assertGreaterEqual(self.length("second"), 1)
        self.stop(worker)

    def test_shutdown_is_a_warm_one(self):
        worker = self.start("concurrency=1")
        gate = Gate(SERVER.folder)
        running = self.call("gate", gate.path)
        wait_until(lambda: len(self.ids("active")) == 1, "one runs")
        waiting = self.call("add", 1, 2)
        wait_until(lambda: len(self.ids("reserved")) == 1, "one waits")
        status, text = run_commands(["control", "-t", "0.1", "shutdown"])[0]
        self.assertEqual(status, 69, text)  # as with Python's worker: nobody answers
        wait_until(lambda: self.length("celery") == 1, "what waits is given back")
        gate.open()
        self.assertEqual(worker.process.wait(PATIENCE_S), 0)
        self.assertIsNone(running.get(PATIENCE_S))
        self.assertEqual(self.length("celery"), 1)
        self.assertEqual(waiting.state, "PENDING")


class Events(Case):
    def test_what_happens_is_told(self):
        watcher = Watcher(self.app)
        self.addCleanup(watcher.close)
        worker = self.start("fibers", "concurrency=2", "events")
        online = watcher.wait("worker-online")
        self.assertEqual((online["hostname"], online["pid"], online["freq"], online["active"]),
                         (OURS, worker.process.pid, 2.0, 0))
        self.assertEqual(len(online["loadavg"]), 3)
        watcher.wait("worker-heartbeat", hostname=OURS)
        self.assertEqual(self.call("add", 1, 2, task_id="good").get(PATIENCE_S), 3)
        with self.assertRaises(ValueError):
            self.call("fail", "boøm", task_id="bad").get(PATIENCE_S)
        self.call("add", 1, 2, task_id="late", expires=-1)
        self.call("unwilling", False, task_id="retried").get(PATIENCE_S)
        self.call("unwilling", True, task_id="refused")
        self.call("sleeping", 3600, task_id="killed")
        wait_until(lambda: self.ids("active") == ["killed"], "it runs")
        self.ask("terminate", task_id="killed", signal="KILL")
        received = watcher.wait("task-received", uuid="good")
        self.assertEqual({key: received[key] for key in (
            "name", "args", "kwargs", "root_id", "parent_id", "retries", "eta", "expires")},
            {"name": "add", "args": "(1, 2)", "kwargs": "{}", "root_id": "good",
             "parent_id": None, "retries": 0, "eta": None, "expires": None})
        self.assertEqual(watcher.wait("task-started", uuid="good")["pid"], worker.process.pid)
        succeeded = watcher.wait("task-succeeded", uuid="good")
        self.assertEqual(succeeded["result"], "3")
        self.assertTrue(0 <= succeeded["runtime"] < PATIENCE_S)
        self.assertEqual(watcher.wait("task-failed", uuid="bad")["exception"],
                         "ValueError('boøm')")
        self.assertEqual(watcher.wait("task-revoked", uuid="late")["expired"], True)
        self.assertEqual(watcher.wait("task-retried", uuid="retried")["exception"],
                         "ValueError('not yet')")
        watcher.wait("task-succeeded", uuid="retried")
        self.assertEqual(watcher.wait("task-rejected", uuid="refused")["requeue"], False)
        revoked = watcher.wait("task-revoked", uuid="killed")
        self.assertEqual((revoked["terminated"], revoked["signum"]), (True, 9))
        clocks = [event["clock"] for event in watcher.events if event["hostname"] == OURS]
        self.assertEqual(len(set(clocks)), len(clocks))
        # Whole programs see it, too: Celery's own monitor keeps no task that is unfinished.
        state = self.app.events.State()
        fed = 0

        def alive():
            nonlocal fed
            for event in watcher.events[fed:]:
                state.event(dict(event))
                fed += 1
            return state.workers[OURS].alive

        wait_until(alive, "it is alive")  # by a heartbeat of the last seconds
        self.assertEqual(state.tasks["good"].state, "SUCCESS")
        self.assertEqual(state.tasks["good"].worker.hostname, OURS)
        self.stop(worker)
        self.assertEqual(watcher.wait("worker-offline")["processed"], 6)

    def test_events_of_tasks_are_told_when_asked_for(self):
        watcher = Watcher(self.app)
        self.addCleanup(watcher.close)
        worker = self.start()
        watcher.wait("worker-heartbeat")
        self.assertEqual(self.call("add", 1, 2, task_id="unseen").get(PATIENCE_S), 3)
        status, text = run_commands(["control", *ONE, "enable_events"])[0]
        self.assertEqual((status, "task events enabled" in text), (0, True), text)
        self.assertEqual(self.ask("enable_events"), {"ok": "task events already enabled"})
        count = 300  # several batches
        for i in range(count):
            self.call("add", i, 2, task_id=f"seen-{i}")
        wait_until(lambda: len(watcher.of("task-succeeded")) == count, "all of them")
        self.assertEqual({event["uuid"] for event in watcher.of("task-succeeded")},
                         {f"seen-{i}" for i in range(count)})
        self.assertEqual(self.ask("disable_events"), {"ok": "task events disabled"})
        self.assertEqual(self.ask("disable_events"), {"ok": "task events already disabled"})
        self.call("add", 1, 2, task_id="again").get(PATIENCE_S)
        self.stop(worker)
        watcher.wait("worker-offline")
        seen = {event.get("uuid") for event in watcher.events}
        self.assertFalse(seen & {"unseen", "again"})

    def test_dump(self):
        """Two whole commands, as they are typed."""
        dump = subprocess.Popen(
            WITH_US + [sys.executable, "-u", "-m", "celery", "-b", BROKER.url, "events", "--dump"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.addCleanup(dump.stdout.close)
        self.addCleanup(dump.wait)
        self.addCleanup(dump.kill)
        lines = []
        reader = threading.Thread(target=lambda: lines.extend(iter(dump.stdout.readline, "")))
        reader.start()
        worker = self.start("events")
        status = subprocess.run([sys.executable, "-m", "celery", "-b", BROKER.url, "status", *ONE],
                                capture_output=True, text=True, check=False)
        self.assertEqual(status.returncode, 0, status.stderr)
        self.assertIn(f"{OURS}: OK", status.stdout)
        wait_until(lambda: any("heartbeat" in line for line in lines), "a heartbeat is shown")
        self.call("add", 1, 2, task_id="shown").get(PATIENCE_S)
        wait_until(lambda: any(re.search(r"task succeeded.*shown", line) for line in lines),
                   "the task is shown")
        self.stop(worker)
        wait_until(lambda: any("shutdown" in line or "offline" in line for line in lines),
                   "the end is shown")
        dump.kill()
        reader.join()

    def test_an_idle_worker_does_next_to_nothing(self):
        worker = self.start("no-mingle")

        def used_ns():
            total = 0
            for task in os.listdir(f"/proc/{worker.process.pid}/task"):
                with open(f"/proc/{worker.process.pid}/task/{task}/schedstat",
                          encoding="ascii") as file:
                    total += int(file.read().split()[0])
            return total
        before = used_ns()
        time.sleep(2.5)  # with a heartbeat or two: it is the quiet that is measured
        used_ms = (used_ns() - before) / 1e6
        print(f"an idle worker: {used_ms:.2f} ms of CPU in 2.5 s")
        if not SANITIZED:
            self.assertLess(used_ms, 25)
        self.stop(worker)


if __name__ == "__main__":
    SERVER = Redis()
    BROKER = Rabbit() if RABBIT else SERVER
    # Forked before there is a connection that they would share.
    COMMANDS = multiprocessing.get_context("fork").Pool(16)
    fine = False
    try:
        fine = unittest.main(exit=False).result.wasSuccessful()
    finally:
        COMMANDS.terminate()
        COMMANDS.join()
        if RABBIT:
            BROKER.close()
        SERVER.close()
        sys.stdout.flush()
        sys.stderr.flush()
        # Not by the usual way: results that are still there would ask Redis for half a minute.
        os._exit(0 if fine else 1)
