#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The tour of celery_task.c: a Redis of its own, a worker, and a call from each side.

    examples/celery_task.py BUILD

Debian's python3 has Debian's python3-celery; redis-server comes from Debian, too."""
import os
import shutil
import socket
import subprocess
import sys
import tempfile

PYTHON = ('from celery import Celery; app = Celery(broker="{0}", backend="{0}"); '
          'print("add(2, 3) =", app.send_task("add", [2, 3]).get(timeout=60))')
# Whoever ends this program ends what it has started.
WITH_US = ["setpriv", "--pdeathsig", "KILL"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_redis(folder):
    for _ in range(3):  # somebody may take the port meanwhile
        port = free_port()
        process = subprocess.Popen(
            WITH_US + ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "",
                       "--appendonly", "no", "--dir", folder], stdout=subprocess.PIPE, text=True)
        for line in process.stdout:
            if "eady to accept connections" in line:
                return process, f"redis://127.0.0.1:{port}/0"
        process.wait()
    sys.exit("redis-server did not become ready")


def call(shown, words, **options):
    print("$", shown, flush=True)
    subprocess.run(words, check=True, **options)


def main():
    build = os.path.abspath(sys.argv[1])
    weft, tasks = os.path.join(build, "weft"), os.path.join(build, "examples")
    if not shutil.which("redis-server", path=os.environ["PATH"] + ":/usr/sbin"):
        sys.exit("there is no redis-server (Debian: redis-server); tools/deps installs it")
    with tempfile.TemporaryDirectory() as folder:
        redis, url = start_redis(folder)
        environment = os.environ | {"CELERY_BROKER_URL": url, "CELERY_RESULT_BACKEND": url}
        print("$ weft -A celery_task worker -l info", flush=True)
        worker = subprocess.Popen(WITH_US + [weft, "-A", "celery_task", "worker", "-l", "info"],
                                  cwd=tasks, env=environment, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
        try:
            for line in worker.stdout:
                print(line, end="", flush=True)
                if " ready." in line:
                    break
            text = PYTHON.format(url)
            call(f"python3 -c '{text}'", ["/usr/bin/python3", "-W", "ignore", "-c", text])
            call("weft call --wait is_prime 112272535095293",
                 [weft, "call", "--wait", "--timeout", "60", "is_prime", "112272535095293"],
                 env=environment)
        finally:
            worker.terminate()
            print(worker.communicate(timeout=60)[0], end="")
            redis.terminate()
            redis.communicate(timeout=60)
        return worker.returncode


if __name__ == "__main__":
    sys.exit(main())
