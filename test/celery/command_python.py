# SPDX-License-Identifier: MIT
"""weft worker, weft call and weft inspect as a Celery user types them, with a Redis of the test's own
and Python's Celery as the other side.

    command_python.py WEFT FOLDER OWN DECLARED      the folder has celery_task.so, the others are
                                                    what own_worker.c becomes

Run by /usr/bin/python3; exits 77 when Debian's python3-celery or python3-redis, or redis-server, is
missing."""
import concurrent.futures
import gc
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

try:
    import celery
except ImportError as missing:
    print(f"{missing} (Debian: python3-celery)")
    sys.exit(77)
from cluster import PATIENCE_S, SANITIZED, WITH_US, Gate, Redis, text_so_far, wait_until

WEFT, TASKS, OWN, DECLARED = (os.path.abspath(sys.argv.pop(1)) for _ in range(4))
README = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "README.md")
SERVER = Redis()
LOG_LINE = r"^\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}: (INFO|WARNING|ERROR)/MainProcess\] "


def environment(**more):
    clean = {key: value for key, value in os.environ.items()
             if not key.startswith(("CELERY_", "WEFT_TASK"))}
    return clean | more


NAMED = {"CELERY_BROKER_URL": SERVER.url, "CELERY_RESULT_BACKEND": SERVER.url}


class Worker:
    """weft worker; ready once it has said so in its log."""

    def __init__(self, *words, env=None, folder=TASKS, ready=True, program=WEFT):
        self.out, self.log = (tempfile.TemporaryFile() for _ in range(2))
        self.process = subprocess.Popen(WITH_US + [program, *words], stdout=self.out, stderr=self.log,
                                        env=environment(**(NAMED if env is None else env)),
                                        cwd=folder)
        if ready:
            wait_until(lambda: " ready." in self.text(self.log) or self.process.poll() is not None,
                       "it is ready")

    def text(self, file=None):
        return text_so_far(file or self.log)

    def end(self, *signals):
        for number in signals or (signal.SIGTERM,):
            self.process.send_signal(number)
        status = self.process.wait(PATIENCE_S)
        return status, self.text(self.out), self.text(self.log)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def weft(*words, env=None, folder=TASKS):
    """Returns (status, standard output, standard error, seconds)."""
    began = time.monotonic()
    done = subprocess.run([WEFT, *words], env=environment(**(NAMED if env is None else env)),
                          cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S,
                          errors="backslashreplace", stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr, time.monotonic() - began


class Case(unittest.TestCase):
    def setUp(self):
        SERVER.client.flushall()
        self.app = celery.Celery(broker=SERVER.url, backend=SERVER.url, set_as_current=False)
        self.addCleanup(self.app.close)

    def start(self, *words, **options):
        worker = Worker(*words, **options)
        self.addCleanup(worker.process.kill)
        return worker

    def get(self, name, *args, **options):
        return self.app.send_task(name, args, **options).get(PATIENCE_S)


class Starts(Case):
    def test_celerys_word_order_and_its_banner(self):
        worker = self.start("-A", "celery_task", "worker", "-l", "info", "-c", "3", "-n", "w1@%h",
                            "-Q", "celery,images")
        self.assertEqual(self.get("add", 2, 3), 5)
        self.assertIs(self.get("is_prime", 97, queue="images"), True)
        value = {"a": [1, None, 10**30, 1.5, "é"]}
        self.assertEqual(self.get("echo", value), value)
        with self.assertRaisesRegex(ValueError, "^no$"):
            self.get("fail", "no")
        self.assertEqual(self.get("sleeping", 0.01), 0.01)
        status, out, log = worker.end()
        self.assertEqual(status, 0, log)
        host = socket.gethostname()
        for line in (f" w1@{host},", ".> app:         celery_task", ".> transport:   redis+socket:",
                     ".> results:     redis+socket:", ".> concurrency: 3 (threads)",
                     ".> task events: OFF", ".> images           exchange=images(direct) key=images",
                     ". add\n", ". is_prime\n", ". retry_until\n", "worker: Warm shutdown"):
            self.assertIn(line, out)
        self.assertNotIn("race_prime", out)
        for line in log.splitlines():
            self.assertRegex(line, LOG_LINE)
        for pattern in (f"w1@{host} ready\\.", r"Task add\[[0-9a-f-]{36}\] received",
                        r"Task add\[[0-9a-f-]{36}\] succeeded in \S+s: 5\n"):
            self.assertRegex(log, pattern)

    def test_options_win_over_the_environment(self):
        env = {"CELERY_BROKER_URL": "redis://127.0.0.1:1", "CELERY_RESULT_BACKEND": "nonsense"}
        worker = self.start("worker", "-A", TASKS + "/celery_task.so", "-linfo", "-q", "-P", "fibers",
                            "--broker", SERVER.url, "--result-backend=" + SERVER.url, env=env,
                            folder="/")
        self.assertEqual(self.get("add", 1, 1), 2)
        status, out, _ = worker.end()
        self.assertEqual(status, 0)
        self.assertNotIn("config", out)

    def test_a_bare_name_is_found_along_the_path(self):
        worker = self.start("worker", "-A", "celery_task", "-l", "info", "-P", "processes", "-c1",
                            env=NAMED | {"WEFT_TASK_PATH": "/nowhere:" + TASKS}, folder="/")
        self.assertEqual(self.get("add", 1, 1), 2)
        with self.assertRaises(Exception) as caught:
            self.get("sleeping", 60, time_limit=0.2)
        self.assertEqual(type(caught.exception).__name__, "TimeLimitExceeded")
        self.assertEqual(self.get("add", 1, 2), 3)
        self.assertEqual(worker.end()[0], 0)

    def test_a_program_is_its_own_worker(self):
        worker = self.start("-l", "info", program=OWN)
        self.assertEqual(self.get("twice", 21), 42)
        status, out, log = worker.end()
        self.assertEqual(status, 0)
        for line in ("own@here", ".> concurrency: 1 (threads)", ". twice\n"):
            self.assertIn(line, out)
        worker = self.start("worker", "-A", "celery_task", "-l", "info", "-c2", "-n", "w@%h",
                            program=OWN)
        self.assertEqual((self.get("twice", 1), self.get("add", 1, 2)), (2, 3))
        status, out, log = worker.end()
        self.assertIn(".> concurrency: 2 (threads)", out)
        self.assertNotIn("own@", out + log)

    def test_a_program_names_its_engine_and_the_command_line_another(self):
        for words, engine in (((), "processes"), (("-P", "threads"), "threads")):
            worker = self.start("-l", "info", *words, program=OWN,
                                env=NAMED | {"OWN_PROCESSES": "yes"})
            self.assertEqual(self.get("twice", 21), 42)
            status, out, log = worker.end()
            self.assertEqual(status, 0, log)
            self.assertIn(f".> concurrency: 1 ({engine})", out)

    def test_a_module_declares_its_broker(self):
        status, out, err, _ = weft("worker", "-A", DECLARED, env={})
        self.assertRegex(err, r"\Aweft worker: redis://127\.0\.0\.1:1/0: [^\n]*refused\n\Z")
        self.assertEqual(status, 1)
        self.assertIn(" declared@", out)
        self.assertIn("127.0.0.1:1/0: ", weft("-A", DECLARED, "call", "twice", "1", env={})[2])
        worker = self.start("worker", "-A", DECLARED + ",celery_task", "-l", "info")
        self.assertEqual((self.get("twice", 1), self.get("add", 1, 2)), (2, 3))
        self.assertEqual(worker.end()[0], 0)

    def test_pid_file_and_log_file(self):
        with tempfile.TemporaryDirectory() as folder:
            pid, log = os.path.join(folder, "w.pid"), os.path.join(folder, "w.log")
            with open(pid, "w", encoding="ascii") as file:
                file.write("999999999\n")  # of nobody
            words = ("worker", "-A", "celery_task", "-l", "INFO", "--pidfile", pid,
                     "--logfile", os.path.join(folder, "%n.log"), "-n", "w")
            worker = self.start(*words, ready=False)
            wait_until(lambda: os.path.exists(log) and " ready." in read(log), "it is ready")
            self.assertEqual(int(read(pid)), worker.process.pid)
            status, _, err, _ = weft(*words)
            self.assertEqual(status, 1)
            self.assertRegex(err, f"^weft worker: process {worker.process.pid} has the pid file .*\n$")
            self.assertEqual(self.get("add", 1, 1), 2)
            status, _, err = worker.end()
            self.assertEqual((status, err), (0, ""))
            self.assertFalse(os.path.exists(pid))
            self.assertRegex(read(log), "(?m)" + LOG_LINE + "Task add")


class Ends(Case):
    def test_a_warm_end_waits_and_gives_back(self):
        for signals in ((signal.SIGTERM,), (signal.SIGINT,), (signal.SIGTERM, signal.SIGTERM)):
            SERVER.client.flushall()
            worker = self.start("-A", DECLARED, "worker", "-l", "info", "-c", "1")
            gate = Gate(SERVER.folder)
            results = [self.app.send_task("gate", (gate.path,)), self.app.send_task("twice", (1,))]
            wait_until(lambda: worker.text().count("] received") == 2, "both are taken")
            for number in signals:
                worker.process.send_signal(number)
            wait_until(lambda: SERVER.client.llen("celery") == 1, "one is given back")
            gate.open()
            status, out, log = worker.end(0)
            self.assertEqual(status, 0, log)
            self.assertIn("Warm shutdown", out)
            self.assertIsNone(results[0].get(PATIENCE_S))
            self.assertEqual(SERVER.client.llen("celery"), 1)
            for result in results:
                result.forget()

    def test_a_cold_end_is_at_once(self):
        for first, second in ((signal.SIGQUIT, None), (signal.SIGINT, signal.SIGINT)):
            SERVER.client.flushall()
            worker = self.start("-A", "celery_task", "worker", "-l", "info", "-c", "1")
            self.app.send_task("sleeping", (3600,))
            wait_until(lambda: "] received" in worker.text(), "it is taken")
            began = time.monotonic()
            worker.process.send_signal(first)
            if second:
                wait_until(lambda: "Warm shutdown" in worker.text(worker.out), "the first is seen")
                worker.process.send_signal(second)
            self.assertEqual(worker.process.wait(PATIENCE_S), 1)
            self.assertLess(time.monotonic() - began, 20)
            self.assertIn("Cold shutdown", worker.text(worker.out))


class Readme(unittest.TestCase):
    """The page's own lines, with the addresses of a server of the test's."""

    def lines(self, env, *options):
        with open(README, encoding="utf-8") as file:
            page = file.read()
        python = re.search(r"(?m)^ +(python3 -c '[^']+')$", page).group(1)
        calls = re.findall(r"(?m)^ +\.\./weft ((?:call|inspect) [^#\n]*[^#\n ])", page)
        self.assertEqual(len(calls), 2)
        worker = Worker("worker", "-A", "celery_task", "-l", "info", "-n", "w@here", *options, env=env)
        self.addCleanup(worker.process.kill)
        done = subprocess.run(["/bin/sh", "-c", python.replace("python3", sys.executable + " -Wignore")],
                              env=environment(**env), capture_output=True, text=True, timeout=PATIENCE_S)
        self.assertEqual((done.returncode, done.stdout), (0, "5\n"), done.stderr)
        self.assertEqual(weft(*calls[0].split(), env=env)[:3], (0, "true\n", ""))
        # Its replies come within a second, which they may miss on a busy machine.
        wait_until(lambda: "w@here: OK" in weft(*calls[1].split(), env=env)[1], "it replies")
        status, out, err, _ = weft("inspect", "shutdown", env=env)
        self.assertEqual((status, err), (0, ""), out)
        self.assertEqual(worker.process.wait(PATIENCE_S), 0)

    def test_on_redis(self):
        self.lines(NAMED)

    def test_on_rabbitmq(self):
        try:
            from rabbit import Rabbit
        except SystemExit:
            self.skipTest("there is no RabbitMQ (Debian: rabbitmq-server)")
        server = Rabbit()
        self.addCleanup(server.close)
        self.lines({"CELERY_BROKER_URL": server.url, "CELERY_RESULT_BACKEND": "rpc://"})
        wrong = server.url.replace("guest:guest", "guest:wrong")
        for words in (("worker", "-A", "celery_task", "-q"), ("call", "add", "1", "2"),
                      ("inspect", "ping")):
            status, _, err, _ = weft(*words, "-b", wrong)
            self.assertEqual(status, 1)
            self.assertRegex(err, r"\A[^\n]*ACCESS_REFUSED[^\n]*\n\Z")
            self.assertNotIn(":wrong@", err)


class Wrong(Case):
    """Each is one line, its status, and told within five seconds; several at a time."""

    def setUp(self):
        super().setUp()
        self.tried = []
        self.pool = concurrent.futures.ThreadPoolExecutor(4)
        self.addCleanup(self.pool.shutdown)

    def wrong(self, status, pattern, *words, **options):
        self.tried.append((status, pattern, words, options,
                           self.pool.submit(weft, *words, **options)))

    def look(self):
        for status, pattern, words, options, done in self.tried:
            got, _, err, took = done.result()
            with self.subTest(words):
                self.assertEqual(got, status, err)
                self.assertRegex(err, rf"\A[^\n]*(?:{pattern})[^\n]*\n\Z")
                # A machine may be too busy at times: it is what the command waits for that counts.
                for _ in range(0 if SANITIZED else 9):
                    if took >= 5:
                        took = weft(*words, **options)[3]
                self.assertTrue(took < 5 or SANITIZED, took)

    def test_each_is_one_line(self):
        worker = ("worker", "-A", "celery_task")
        self.wrong(2, "unknown option --concurency", *worker, "--concurency", "2")
        self.wrong(2, "-c wants a whole number", *worker, "-c", "two")
        self.wrong(2, "-P wants one of threads, fibers", *worker, "-P", "magic")
        self.wrong(2, "--detach is not for this worker", *worker, "--detach")
        self.wrong(2, "unexpected argument \"more\"", *worker, "more")
        self.wrong(2, "there are no tasks", "worker")
        self.wrong(2, "module nosuch: there is no nosuch.so", "-A", "nosuch", "worker", "-l", "info")
        self.wrong(2, "%x is no sign", *worker, "-n", "w%x")
        self.wrong(2, "no command \"wroker\"", "-A", "celery_task", "wroker")
        self.wrong(2, "redis://, amqp://|begins with redis", *worker, "-b", "nonsense")
        self.wrong(2, "none of redis", *worker, "-b", "http://127.0.0.1")
        self.wrong(2, "result backend: .*none of redis", *worker, "--result-backend", "db+sqlite:///x")
        self.wrong(1, "127.0.0.1:1: .*refused", *worker, "-b", "redis://127.0.0.1:1")
        self.wrong(1, "no broker is named .*amqp://guest@localhost:5672//", *worker, env={})
        self.wrong(1, "cannot write to /nowhere", *worker, "--logfile", "/nowhere/log")
        self.wrong(2, "%q is no sign", *worker, "--logfile", "%q")
        self.wrong(2, "results go to Redis, or back by rpc://", *worker, "--result-backend", "amqp://x")
        self.wrong(1, "result backend: .*127.0.0.1:1: .*refused", *worker, "--result-backend",
                   "redis://127.0.0.1:1")
        with tempfile.TemporaryDirectory() as folder:
            self.wrong(1, f"cannot write to {folder}: Is a directory", *worker, "--pidfile", folder)
            notes = os.path.join(folder, "notes")
            with open(notes, "w", encoding="ascii") as file:
                file.write("mine\n")
            self.wrong(1, "is there and is no pid file", *worker, "--pidfile", notes)
            text = os.path.join(folder, "text.so")
            shutil.copy(README, text)
            self.wrong(2, "text.so: it is no shared object", "worker", "-A", text)
            other = os.path.join(folder, "other.so")
            shutil.copy(os.path.join(TASKS, "celery_task.so"), other)
            self.wrong(2, r"task \w+ is defined twice: at \S+:\d+ and at \S+:\d+", "worker", "-A",
                       "celery_task," + other)
            self.look()
            self.assertEqual(read(notes), "mine\n")
            self.assertTrue(os.path.isdir(folder))

    def test_a_broker_that_does_not_answer(self):
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen()
            port = silent.getsockname()[1]
            self.wrong(1, f":{port}", "worker", "-A", "celery_task", "-q", "-b", f"redis://127.0.0.1:{port}")
            self.wrong(1, f":{port}", "worker", "-A", "celery_task", "-q", "-b", f"amqp://127.0.0.1:{port}")
            self.wrong(1, f"result backend: .*:{port}", "worker", "-A", "celery_task", "-q",
                       "--result-backend", f"redis://127.0.0.1:{port}")
            self.wrong(1, "", "call", "add", "1", "2", "-b", f"redis://127.0.0.1:{port}")
            self.wrong(1, "", "inspect", "ping", "-b", f"redis://127.0.0.1:{port}")
            self.wrong(1, "the result backend: ", "call", "-w", "add", "1", "2",
                       "--result-backend", f"redis://127.0.0.1:{port}")
            self.look()
            self.assertEqual(SERVER.client.llen("celery"), 0)  # it was told before it was sent

    def test_clients_say_what_is_wrong(self):
        self.wrong(2, "missing NAME", "call")
        self.wrong(2, "--wait wants --result-backend", "call", "add", "1", "2", "-w",
                   env={"CELERY_BROKER_URL": SERVER.url})
        self.wrong(2, "--eta wants a time", "call", "add", "1", "2", "--eta", "tomorrow")
        self.wrong(2, "--timeout wants seconds", "call", "add", "1", "2", "--timeout", "-1")
        self.wrong(2, "", "call", "add", "--args", "{}")
        self.wrong(1, "127.0.0.1:1: .*refused", "call", "add", "1", "2", "-b", "redis://127.0.0.1:1")
        self.wrong(1, "refused", "inspect", "ping", "-b", "redis://127.0.0.1:1")
        self.wrong(1, "no worker replied", "inspect", "ping", "--timeout", "0.1")
        self.wrong(2, "rate_limit wants TASK RATE: unexpected argument \"2\"", "inspect", "rate_limit",
                   "add", "1", "2")
        for words, pattern in ((("revoke",), r"revoke wants ID\.\.\."),
                               (("rate_limit", "add"), "rate_limit wants TASK RATE"),
                               (("time_limit", "add", "soon"), "\"soon\" is no number"),
                               (("pool_grow", "1.2.3"), "\"1.2.3\" is no number"),
                               (("ping", "-d", ","), "--destination names nobody"),
                               (("ping", "me"), "unexpected argument \"me\"")):
            self.wrong(2, pattern, "inspect", *words)
        for words, pattern in ((("--eta", "2030-02-31T00:00:00"), "--eta wants a time as"),
                               (("--eta", "2030-12-31T23:59:59+24:00"), "--eta wants a time as"),
                               (("--eta", "2030-12-31 23:59"), "--eta wants a time as"),
                               (("--expires", "soon"), "--expires wants seconds above 0, or a time"),
                               (("--eta", "2030-01-01T00:00:00", "--countdown", "1"), "either"),
                               (("--timeout", "1"), "--timeout is for --wait"),
                               (("--queue", ""), "--queue is empty"),
                               (("--id", ""), "--id is empty"),
                               (("--kwargs", "{"), "kwargs are no JSON"),
                               (("--kwargs", "[]"), "kwargs are no object")):
            self.wrong(2, pattern, "call", "add", "1", "2", *words)
        self.wrong(2, "an ARG is not UTF-8", "call", "echo", b"caf\xe9")
        self.wrong(1, "the result backend: .*127.0.0.1:1: .*refused", "call", "-w", "add", "1", "2",
                   "--result-backend", "redis://127.0.0.1:1")
        self.look()
        self.assertEqual(SERVER.client.llen("celery"), 0)  # none of them was sent

    def test_what_cannot_be_printed_is_a_failure(self):
        worker = self.start("worker", "-A", "celery_task", "-l", "info", "-n", "w1@here")
        for words in (("call", "add", "1", "2"), ("call", "-w", "add", "1", "2"),
                      ("call", "-w", "--json", "add", "1", "2"), ("inspect", "ping", "-dw1@here"),
                      ("inspect", "ping", "-dw1@here", "--json")):
            with self.subTest(words), open("/dev/full", "w", encoding="ascii") as full:
                done = subprocess.run([WEFT, *words], env=environment(**NAMED), stdout=full,
                                      stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S)
                self.assertEqual((done.returncode, done.stderr), (1, f"weft {words[0]}: cannot write "
                                 "standard output: No space left on device\n"))
        self.assertEqual(worker.end()[0], 0)


class Clients(Case):
    def test_calls(self):
        worker = self.start("-A", "celery_task," + DECLARED, "worker", "-l", "info", "-c", "2", "-n",
                            "w1@here")
        call = ("call", "--wait", "--timeout", str(PATIENCE_S))
        self.assertEqual(weft(*call, "add", "2", "3")[:3], (0, "5\n", ""))
        self.assertEqual(weft(*call, "add", "2", "-k", '{"y": 40}')[:2], (0, "42\n"))
        self.assertEqual(weft(*call, "add", "-a", "[2, 2]", "--priority", "3")[:2], (0, "4\n"))
        self.assertEqual(weft(*call, "echo", "two words")[:2], (0, "two words\n"))
        status, out, _, _ = weft(*call, "echo", '{"a": [1, null, 1.0]}')
        self.assertEqual((status, json.loads(out)), (0, {"a": [1, None, 1.0]}))
        status, out, err, _ = weft(*call, "fail", "no", "--id", "mine")
        self.assertEqual((status, out, err), (1, "", "weft call: fail[mine]: ValueError: no\n"))
        status, out, _, _ = weft(*call, "add", "1", "1", "--json", "--id", "other")
        self.assertEqual((status, json.loads(out)["status"], json.loads(out)["task_id"]),
                         (0, "SUCCESS", "other"))
        # What is stored under that id already is not taken for the result.
        self.assertEqual(weft(*call, "add", "2", "5", "--id", "other")[:3], (0, "7\n", ""))
        status, out, err, _ = weft(*call, "fail", "no", "--json")
        self.assertEqual((status, json.loads(out)["status"], err), (1, "FAILURE", ""))
        self.assertEqual(weft(*call, "echo", '"a\\u0000b"')[1], "a\0b\n")
        began = time.monotonic()
        self.assertEqual(weft(*call, "add", "1", "1", "--countdown", "0.5")[1], "2\n")
        self.assertGreaterEqual(time.monotonic() - began, 0.5)
        self.assertEqual(weft(*call, "add", "1", "1", "--eta", "2001-02-03T04:05:06Z")[1], "2\n")
        status, _, err, _ = weft(*call, "add", "1", "1", "--expires", "2001-02-03T04:05:06+01:00")
        self.assertEqual((status, "expired" in err), (1, True), err)
        gate = Gate(SERVER.folder)
        status, _, err, _ = weft("call", "-w", "-t", "0.1", "gate", gate.path)
        self.assertRegex(err, r"^weft call: gate\[.*\]: no result within 0.1 s\n$")
        gate.open()
        status, out, _, _ = weft("call", "add", "20", "22")
        self.assertRegex(out, r"^[0-9a-f-]{36}\n$")
        self.assertEqual(self.app.AsyncResult(out.strip()).get(PATIENCE_S), 42)
        self.assertEqual(worker.end()[0], 0)

    def test_inspects(self):
        worker = self.start("-A", "celery_task", "worker", "-l", "info", "-c", "2", "-n", "w1@here")
        # Within a second, which it may miss on a busy machine.
        wait_until(lambda: "no worker replied" not in weft("inspect", "ping")[2], "it replies")
        one = ("-d", "w1@here", "-t", str(PATIENCE_S))
        status, out, _, _ = weft("inspect", "ping", *one)
        self.assertEqual((status, out), (0, "->  w1@here: OK\n    pong\n\n1 worker replied\n"))
        status, out, _, _ = weft("inspect", "registered", "--json", *one)
        self.assertIn("is_prime", json.loads(out)["w1@here"])
        status, out, _, _ = weft("inspect", "rate_limit", "add", "100/m", *one)
        self.assertEqual(status, 0, out)
        status, out, _, _ = weft("inspect", "nosuch", *one)
        self.assertEqual(status, 1, out)
        self.assertIn("w1@here: ERROR", out)
        status, out, _, _ = weft("inspect", "nosuch", "--json", "-d", "w1@here")
        self.assertEqual((status, list(json.loads(out)["w1@here"])), (1, ["error"]))
        status, out, _, _ = weft("inspect", "time_limit", "add", "1.5", "2.5", "-d", "w1@here")
        self.assertEqual(status, 0, out)
        wait_until(lambda: "time limits of add: soft 1.5 s, hard 2.5 s" in worker.text(), "it is told")
        self.assertEqual(weft("inspect", "revoke", "42", "-d", "w1@here")[0], 0)
        self.assertEqual(json.loads(weft("inspect", "revoked", "--json", "-d", "w1@here")[1]),
                         {"w1@here": ["42"]})
        self.assertEqual(weft("inspect", "ping", "-d", "w2@here", "-t", "0.2")[:3:2],
                         (1, "weft inspect: no worker replied within 0.2 s\n"))
        status, out, err, _ = weft("inspect", "ping", "-d", "w1@here,w2@here", "-t", "3", "--json")
        self.assertEqual((status, json.loads(out)), (1, {"w1@here": {"ok": "pong"}}))
        self.assertEqual(err, "weft inspect: w2@here did not reply within 3 s\n")
        status, out, err, _ = weft("inspect", "ping", "-d", "w2@here", "-t", "0.2", "--json")
        self.assertEqual((status, json.loads(out)), (1, {}))
        self.assertEqual(weft("inspect", "shutdown", "-t", "0.2", "--json")[:3], (0, "{}\n", ""))
        self.assertEqual(worker.process.wait(PATIENCE_S), 0)


if __name__ == "__main__":
    try:
        unittest.main()
    finally:
        gc.collect()  # results that are dropped later would look for the server
        SERVER.close()
