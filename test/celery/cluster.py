# SPDX-License-Identifier: MIT
"""What tests of workers share: a Redis of their own, worker programs, and messages made by hand.

For /usr/bin/python3, for which Debian's python3-redis is. The importing program exits 77 when that,
or redis-server, is missing."""
import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid

try:
    import redis
except ImportError as missing:
    print(f"{missing} (Debian: python3-redis)")
    sys.exit(77)
if not shutil.which("redis-server"):
    print("no redis-server (Debian: redis-server)")
    sys.exit(77)

PATIENCE_S = 180  # only a test that has failed already gets there
SANITIZED = os.environ.get("WEFT_SANITIZE", "none") != "none"
# Where a shell has started us in the background we ignore these, and so would our children.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
# A child is killed when the test ends, however that comes.
WITH_US = ["setpriv", "--pdeathsig", "KILL"]


def wait_until(condition, what, patience_s=PATIENCE_S):
    """`what` says what did not come, or is called to say it."""
    end = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"never: {what() if callable(what) else what}")
        time.sleep(0.01)


class Redis:
    """On a Unix socket in a folder of its own; with `durable` what it has answered is in a file, and
    still there when it is killed and started again (though not when the machine is)."""

    def __init__(self, durable=False, extra=()):
        self.folder = tempfile.mkdtemp(prefix="weft-redis-")
        self.socket = os.path.join(self.folder, "s")
        self.url = f"redis+socket://{self.socket}"
        self.words = ["--appendonly", "yes", "--appendfsync", "no"] if durable else [
            "--appendonly", "no"]
        self.words += extra
        self.process = None
        self.start()
        self.client = redis.Redis(unix_socket_path=self.socket)

    def start(self):
        self.process = subprocess.Popen(
            WITH_US + ["redis-server", "--port", "0", "--save", "", "--dir", self.folder,
                       "--unixsocket", self.socket, *self.words],
            stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if "eady to accept connections" in line:
                return
        raise RuntimeError("redis-server did not become ready")

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def close(self):
        self.client.close()
        self.kill()
        shutil.rmtree(self.folder)


class Gate:
    """Where a task `gate` of the worker program waits, with the path as its argument."""

    def __init__(self, folder):
        self.path = os.path.join(folder, f"gate-{uuid.uuid4()}")

    def open(self):
        with open(self.path, "x", encoding="ascii"):
            pass


def text_so_far(file):
    """Of a file into which a child writes: opened anew, for where the child writes is also where the
    file that it has from us would read."""
    with open(f"/proc/self/fd/{file.fileno()}", errors="backslashreplace") as again:
        return again.read()


class Worker:
    """A worker program; what it prints is kept in a file."""

    def __init__(self, program, *words):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(WITH_US + [program, *words], stdout=self.log,
                                        stderr=self.log)

    def lines(self):
        return text_so_far(self.log)

    def peak_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))

    def stands_still(self):
        """After SIGSTOP, which comes to each of its threads when it comes."""
        folder = f"/proc/{self.process.pid}/task"
        for thread in os.listdir(folder):
            with open(f"{folder}/{thread}/stat", encoding="ascii") as file:
                if file.read().rsplit(") ", 1)[1][0] != "T":
                    return False
        return True

    def catches(self, number):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            caught = next(line.split()[1] for line in file if line.startswith("SigCgt:"))
        return int(caught, 16) >> (number - 1) & 1

    def end(self, number=signal.SIGTERM):
        """Returns the exit status and what was logged. One that was just started would be killed by
        what it is to catch."""
        if number not in (0, signal.SIGKILL):
            wait_until(lambda: self.process.poll() is not None or self.catches(number),
                       "it catches the signal")
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(PATIENCE_S)
        text = self.lines()
        self.log.close()
        return status, text


def body_of(*args, **kwargs):
    return json.dumps([args, kwargs, {"callbacks": None, "errbacks": None, "chain": None,
                                      "chord": None}]).encode()


def message(task, task_id, content, headers=None, properties=None, **envelope):
    """The envelope of a task's message, to be changed and dumped; content is the body, bytes."""
    return {
        "body": base64.b64encode(content).decode(), "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": task, "id": task_id, "shadow": None, "eta": None,
                    "expires": None, "group": None, "group_index": None, "retries": 0,
                    "timelimit": [None, None], "root_id": task_id, "parent_id": None,
                    "argsrepr": "()", "kwargsrepr": "{}", "origin": "gen1@test",
                    "ignore_result": False} | (headers or {}),
        "properties": {"correlation_id": task_id, "reply_to": str(uuid.uuid4()),
                       "delivery_mode": 2, "delivery_info": {"exchange": "",
                                                             "routing_key": "celery"},
                       "priority": 0, "body_encoding": "base64",
                       "delivery_tag": str(uuid.uuid4())} | (properties or {}),
    } | envelope


def text_of(task, task_id, content, headers=None, properties=None, **envelope):
    return json.dumps(message(task, task_id, content, headers, properties, **envelope))
