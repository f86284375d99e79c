# SPDX-License-Identifier: MIT
"""The client in C against a real worker of Celery, over a Redis of the test's own, or a RabbitMQ and
rpc://.

    client_python.py CLIENT_CALLS [rabbit]       see test/celery/client_calls.c

Run by /usr/bin/python3, for which Debian's python3-celery and python3-redis are; without these,
redis-server or RabbitMQ it is skipped (77).
"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

from cluster import PATIENCE_S, WITH_US, Redis

try:
    import celery  # noqa: F401 (what is run needs it)
except ImportError as missing:
    print(f"{missing} (Debian: python3-celery)")
    sys.exit(77)

TASKS = '''
import os, time
from celery import Celery
app = Celery("calls", broker=os.environ["TEST_BROKER"], backend=os.environ["TEST_BACKEND"])
app.conf.worker_hijack_root_logger = False

@app.task(name="t.add")
def add(x, y=0):
    return x + y

@app.task(name="t.back")
def back(value):
    return value

@app.task(name="t.fail")
def fail(text):
    raise ValueError(text)

@app.task(name="t.sum")
def total(values):
    return sum(values)

@app.task(name="t.sleep")
def sleep(seconds):
    time.sleep(seconds)

@app.task(name="t.about", bind=True)
def about(self):
    r = self.request
    return {"root": r.root_id == r.id, "argsrepr": r.argsrepr, "reply_to": len(r.reply_to),
            "queue": r.delivery_info["routing_key"], "eta": bool(r.eta)}
'''


class Calls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="weft-client-")
        with open(os.path.join(cls.folder, "calls.py"), "w", encoding="utf-8") as file:
            file.write(TASKS)
        cls.redis = cls.rabbit = None
        if RABBIT:
            cls.rabbit = RABBIT.Rabbit()
            cls.broker, cls.backend = cls.rabbit.url, "rpc://"
        else:
            cls.redis = Redis()
            cls.broker = cls.backend = cls.redis.url
        cls.start_worker()

    @classmethod
    def start_worker(cls):
        cls.worker = subprocess.Popen(
            WITH_US + [sys.executable, "-m", "celery", "-A", "calls", "worker", "-c", "2", "-l",
                       "info", "--without-mingle", "--without-gossip"],
            cwd=cls.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
            env={**os.environ, "TEST_BROKER": cls.broker, "TEST_BACKEND": cls.backend,
                 "TMPDIR": cls.folder, "PYTHONDONTWRITEBYTECODE": "1"})
        seen = []
        for line in cls.worker.stderr:
            seen.append(line)
            if " ready." in line:
                break
        else:
            raise AssertionError("the worker did not start:\n" + "".join(seen))
        cls.drain = subprocess.Popen(["cat"], stdin=cls.worker.stderr, stdout=subprocess.DEVNULL)

    @classmethod
    def tearDownClass(cls):
        os.killpg(cls.worker.pid, signal.SIGKILL)  # with its pool
        cls.worker.wait()
        cls.drain.wait()
        cls.worker.stderr.close()
        if cls.rabbit:
            cls.rabbit.close()
        if cls.redis:
            cls.redis.close()
        shutil.rmtree(cls.folder)

    def call(self, name, args, kwargs=None, **options):
        words = [CALLS, self.broker, self.backend, name,
                 args if isinstance(args, str) else json.dumps(args), json.dumps(kwargs or {})]
        for option, value in options.items():
            words += [option, str(value)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S,
                              check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout.rstrip("\n")

    def value(self, *args, **options):
        kind, _, text = self.call(*args, **options).partition(" ")
        self.assertEqual(kind, "value", text)
        return json.loads(text)

    def test_values(self):
        self.assertEqual(self.value("t.add", [2, 3]), 5)
        self.assertEqual(self.value("t.add", [2], {"y": 40}), 42)
        for value in ["h\u00e9 \U0001f600 \u0000 \"", 10 ** 40, -(2 ** 63) - 1, 1.0, None, [],
                      {"a": [True]}]:
            self.assertEqual(self.value("t.back", [value]), value)

    def test_failures(self):
        self.assertEqual(self.call("t.fail", ["boom \u00e9"]),
                         "error EINVAL ValueError: boom \u00e9")
        self.assertRegex(self.call("t.add", []), r"^error EINVAL TypeError: add\(\) missing 1 ")
        self.assertEqual(self.call("t.nowhere", []),
                         "error WF_ETASKFAILED NotRegistered: t.nowhere")

    def test_what_the_worker_is_told(self):
        self.assertEqual(self.value("t.about", []), {
            "root": True, "argsrepr": "()", "reply_to": 36, "queue": "celery", "eta": False})

    def test_times(self):
        self.assertIs(self.value("t.about", [], countdown=0.5)["eta"], True)
        self.assertEqual(self.call("t.add", [1, 2], expires=-1),
                         "error ECANCELED TaskRevokedError: expired")
        self.assertEqual(self.value("t.add", [1, 2], expires=60), 3)

    def test_revoked(self):
        self.assertEqual(self.call("t.add", [1, 2], revoke=1),
                         "error ECANCELED TaskRevokedError: revoked")

    def test_ignored(self):
        self.assertEqual(self.call("t.add", [1, 2], ignore=1, wait=0.5), "nothing")

    def test_signatures(self):
        def add(*args):
            return {"task": "t.add", "args": list(args), "kwargs": {}, "options": {}}

        def several(kind, *tasks):
            return {"task": "celery." + kind, "args": [], "kwargs": {"tasks": list(tasks)},
                    "options": {}, "subtask_type": kind}

        def collected(signature):
            return self.value("@canvas", json.dumps(signature))

        self.assertEqual(collected(add(1, 2)), 3)
        self.assertEqual(collected(several("group", add(1, 2), several("chain", add(1, 1),
                                                                       add(5)))), [3, 7])
        self.assertEqual(collected(several("chain", add(1, 2), add(10), add(100))), 113)
        self.assertEqual(
            self.call("@canvas", json.dumps(several(
                "chain", {"task": "t.fail", "args": ["no"], "options": {}}, add(1)))),
            "error EINVAL ValueError: no")

    def test_chords(self):
        def add(*args):
            return {"task": "t.add", "args": list(args), "kwargs": {}, "options": {}}

        chord = {"task": "celery.chord", "args": [], "options": {}, "subtask_type": "chord",
                 "kwargs": {"kwargs": {}, "body": {"task": "t.sum", "args": [], "options": {}},
                            "header": {"task": "celery.group", "args": [], "options": {},
                                       "kwargs": {"tasks": [add(1, 2), add(3, 4)]}}}}
        if RABBIT:
            self.assertIn("a chord needs a Redis", self.call("@canvas", json.dumps(chord)))
        else:
            self.assertEqual(self.value("@canvas", json.dumps(chord)), 10)

    def test_requests(self):
        replies = self.value("@control", "ping")
        self.assertEqual(list(replies.values()), [{"ok": "pong"}])
        self.assertIn("t.add", list(self.value("@control", "registered").values())[0])

    def test_the_engine(self):
        self.assertEqual(self.value("@engine", []), "done")


if __name__ == "__main__":
    CALLS = os.path.abspath(sys.argv.pop(1))
    RABBIT = None
    if sys.argv[1:] == ["rabbit"]:
        import rabbit as RABBIT  # which exits where there is none
        del sys.argv[1]
    unittest.main()
