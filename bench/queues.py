# SPDX-License-Identifier: MIT
"""The workloads of Celery, Q1 to Q5 and Q.idle: workers of weft and of Python's Celery, in turn at
one broker.

What is measured of a worker: the queue is filled before it starts, with messages that are alike; its
time is that from the result of the first to that of the last. So neither its start nor the client
counts."""

import base64
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid

import serving

HERE = os.path.dirname(os.path.abspath(__file__))
PEER = os.path.join(HERE, "peers", "celery")
PYTHON = "/usr/bin/python3"  # Debian's, for which its celery is
RABBIT = "/usr/lib/rabbitmq/bin/rabbitmq-server"
WORKLOADS = ["Q1", "Q2", "Q3", "Q4", "Q5", "Q.idle"]
PATIENCE_S = 120
WITH_US = ["setpriv", "--pdeathsig", "KILL"]
BODY = json.dumps([[], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}])


class Failed(Exception):
    pass


def headers_of(task, task_id):
    return {"lang": "py", "task": task, "id": task_id, "shadow": None, "eta": None,
            "expires": None, "group": None, "group_index": None, "retries": 0,
            "timelimit": [None, None], "root_id": task_id, "parent_id": None, "argsrepr": "()",
            "kwargsrepr": "{}", "origin": "gen1@bench", "ignore_result": task == "bench_ignored"}


class Resp:
    """As much of a client of Redis as is needed here."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")

    def send(self, *commands):
        out = []
        for words in commands:
            out.append(b"*%d\r\n" % len(words))
            for word in words:
                word = word.encode() if isinstance(word, str) else word
                out.append(b"$%d\r\n%b\r\n" % (len(word), word))
        self.socket.sendall(b"".join(out))

    def receive(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n") or line[:1] == b"-":
            raise Failed(f"Redis: {line.decode(errors='replace').strip()}")
        kind, rest = line[:1], line[1:-2]
        if kind in b"+:":
            return int(rest) if kind == b":" else rest
        if rest == b"-1":
            return None
        if kind == b"$":
            return self.file.read(int(rest) + 2)[:-2]
        return [self.receive() for _ in range(int(rest))]

    def call(self, *words):
        self.send(words)
        return self.receive()

    def close(self):
        self.file.close()
        self.socket.close()


class Redis:
    """Both: the broker of Q1 and Q2, and the store of results of all."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="weft-bench-")
        self.port = serving.free_port()
        self.process = subprocess.Popen(
            WITH_US + ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                       "--appendonly", "no", "--dir", self.folder],
            stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if "eady to accept connections" in line:
                break
        else:
            raise Failed("redis-server did not become ready")
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = Resp(self.port)

    def clear(self):
        self.client.call("FLUSHALL")

    def fill(self, calls):
        for at in range(0, len(calls), 1000):
            commands = [("LPUSH", "celery", json.dumps({
                "body": base64.b64encode(BODY.encode()).decode(), "content-encoding": "utf-8",
                "content-type": "application/json", "headers": headers_of(task, task_id),
                "properties": {"correlation_id": task_id, "reply_to": str(uuid.uuid4()),
                               "delivery_mode": 2,
                               "delivery_info": {"exchange": "", "routing_key": "celery"},
                               "priority": 0, "body_encoding": "base64",
                               "delivery_tag": str(uuid.uuid4())}}))
                        for task, task_id in calls[at:at + 1000]]
            self.client.send(*commands)
            for _ in commands:
                self.client.receive()

    def close(self):
        self.client.close()
        self.process.kill()
        self.process.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)


class Rabbit:
    """Debian's rabbitmq-server with all its files in a temporary folder, on free ports, and a port
    mapper of its own."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="weft-bench-")
        ports = [serving.free_port() for _ in range(3)]
        self.port = ports[0]
        at = {"HOME": "", "RABBITMQ_BASE": "", "RABBITMQ_MNESIA_BASE": "/m",
              "RABBITMQ_LOG_BASE": "/l", "RABBITMQ_LOGS": "/log",
              "RABBITMQ_ENABLED_PLUGINS_FILE": "/plugins", "RABBITMQ_CONF_ENV_FILE": "/none",
              "RABBITMQ_CONFIG_FILE": "/none"}
        env = dict(os.environ, RABBITMQ_NODENAME="weft@localhost",
                   RABBITMQ_NODE_IP_ADDRESS="127.0.0.1", RABBITMQ_NODE_PORT=str(ports[0]),
                   RABBITMQ_DIST_PORT=str(ports[1]), ERL_EPMD_PORT=str(ports[2]),
                   RUNNING_UNDER_SYSTEMD="1",  # the script becomes the server, and dies as it
                   RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface "
                                                       "{127,0,0,1}",
                   **{name: self.folder + tail for name, tail in at.items()})
        self.mapper = subprocess.Popen(WITH_US + ["epmd", "-address", "127.0.0.1", "-port",
                                                  str(ports[2])])
        self.process = subprocess.Popen(WITH_US + [RABBIT], env=env, cwd=self.folder, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)
        for line in self.process.stdout:
            if "completed with" in line:
                break
        else:
            self.close()
            raise Failed("rabbitmq-server did not become ready")
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def fill(self, calls):
        """By Debian's Python, which has a library for it."""
        text = json.dumps([BODY] + [headers_of(*call) for call in calls])
        done = subprocess.run([PYTHON, os.path.join(PEER, "fill_rabbitmq.py"), str(self.port)],
                              input=text, capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(done.stderr.strip().splitlines()[-1])

    def clear(self):
        self.fill([])

    def close(self):
        for process in (self.process, self.mapper):
            process.kill()
            process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Worker:
    """One that takes part. `worker` and `client` give argument lists; `count` is how many tasks its
    runs have, so that each takes a few seconds."""

    def __init__(self, name, kind, engines, count, worker, client, cwd=None):
        self.name, self.kind, self.engines, self.count = name, kind, engines, count
        self.worker, self.client, self.cwd = worker, client, cwd
        self.workloads = WORKLOADS
        self.process = None

    def environment(self, broker, backend):
        return dict(os.environ, BENCH_BROKER=broker, BENCH_BACKEND=backend,
                    PYTHONDONTWRITEBYTECODE="1")

    def start(self, broker, backend, engine):
        self.process = subprocess.Popen(
            WITH_US + self.worker(broker, backend, engine), cwd=self.cwd,
            env=self.environment(broker, backend), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            pass  # what was measured is
        finally:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()

    def ask(self, broker, backend, what, task, count):
        """What its client prints, as numbers."""
        done = subprocess.run(self.client(broker, backend) + [what, task, str(count)], cwd=self.cwd,
                              env=self.environment(broker, backend), capture_output=True, text=True,
                              timeout=PATIENCE_S)
        if done.returncode != 0:
            raise Failed((done.stderr.strip() or "the client failed").splitlines()[-1])
        return [float(word) for word in done.stdout.split()]


def workers(builddir, skip):
    """Those that are here."""
    program = os.path.join(builddir, "bench", "celery_worker")
    client = os.path.join(builddir, "bench", "celery_client")
    if os.path.exists(program):
        yield Worker("weft", "weft", ["threads", "fibers"], 40_000,
                     lambda broker, backend, engine: [program, broker, backend, engine],
                     lambda broker, backend: [client, broker, backend])
        yield Consumer(os.path.join(builddir, "bench", "rabbit_consumer"))
    else:
        skip("weft", "this build has no Celery")
    if subprocess.run([PYTHON, "-c", "import celery, redis"], capture_output=True).returncode == 0:
        yield Worker("celery", "peer", [None], 4000,
                     lambda broker, backend, engine: [PYTHON, "-m", "celery", "-A", "bench_app",
                                                      "worker", "-c", "2", "-l", "ERROR"],
                     lambda broker, backend: [PYTHON, "bench_app.py"], cwd=PEER)
    else:
        skip("celery", "it is not installed")


class Consumer:
    """The limit of Q4: one that only takes messages and acknowledges them, as many at a time as the
    workers do: 2 x 4 are given, and half of those acknowledged together."""

    name, kind, workloads, count = "librabbitmq alone", "naive", ["Q4"], 40_000

    def __init__(self, program):
        self.program = program

    def rate(self, port, count):
        done = subprocess.run([self.program, str(port), "8", "4", str(count)], capture_output=True,
                              text=True, timeout=PATIENCE_S)
        if done.returncode != 0:
            raise Failed(done.stderr.strip())
        return float(done.stdout)


class Queues:
    """One workload over all that know it, in turn. Brokers are started when they are needed."""

    def __init__(self, quick):
        self.quick = quick
        self.redis = self.rabbit = None

    def close(self):
        for broker in (self.redis, self.rabbit):
            if broker:
                broker.close()

    def brokers(self, workload):
        if not self.redis:
            if not serving.find("redis-server"):
                raise Failed("redis-server is not installed")
            self.redis = Redis()
        if workload in ("Q3", "Q4") and not self.rabbit:
            if not os.access(RABBIT, os.X_OK):
                raise Failed("rabbitmq-server is not installed")
            self.rabbit = Rabbit()
        broker = self.rabbit if workload in ("Q3", "Q4") else self.redis
        self.redis.clear()
        broker.clear()
        return broker

    def count(self, workload, worker):
        """RabbitMQ is filled more slowly than it is emptied."""
        return worker.count // (4 if self.quick else 1) // (2 if workload in ("Q3", "Q4") else 1)

    def hear(self, listener, worker):
        """When it came, while the worker lives."""
        for _ in range(PATIENCE_S):
            if select.select([listener.socket], [], [], 1)[0]:
                return time.perf_counter()
            if worker.process.poll() is not None:
                raise Failed(f"the worker ended with {worker.process.returncode}")
        raise Failed(f"not done within {PATIENCE_S} s")

    def rate(self, workload, worker, engine):
        broker = self.brokers(workload)
        task = "bench_ignored" if workload in ("Q2", "Q4") else "bench_stored"
        count = self.count(workload, worker)
        ids = [str(uuid.uuid4()) for _ in range(count)]
        calls = [("bench_stored", "first")] + [(task, i) for i in ids] + [("bench_stored", "last")]
        broker.fill(calls)
        listeners = []
        for task_id in ("first", "last"):
            listeners.append(Resp(self.redis.port))
            listeners[-1].call("SUBSCRIBE", "celery-task-meta-" + task_id)
        worker.start(broker.url, self.redis.url, engine)
        try:
            times = [self.hear(listener, worker) for listener in listeners]
            took = times[1] - times[0]
            if task == "bench_stored":
                time.sleep(0.2)  # what ran beside the last one
                stored = len(self.redis.client.call("KEYS", "celery-task-meta-*")) - 2
                if stored != count:
                    raise Failed(f"{stored} results of {count}")
        finally:
            for listener in listeners:
                listener.close()
            worker.stop()
        return count / took

    def rates(self, workload, worker):
        figures = {}
        for engine in worker.engines:
            key = f"{workload}@{engine}" if engine else workload
            figures[key] = (self.rate(workload, worker, engine), "tasks/s")
        broker = self.brokers(workload)
        task = "bench_ignored" if workload in ("Q2", "Q4") else "bench_stored"
        count = self.count(workload, worker)
        sent, = worker.ask(broker.url, self.redis.url, "publish", task, count)
        figures[f"{workload}.publish"] = (sent, "calls/s")
        if workload == "Q3":
            sent, = worker.ask(broker.url, self.redis.url, "confirm", task, 500)
            figures[f"{workload}.confirm"] = (sent, "calls/s")
        return figures

    def limit(self, workload, consumer):
        broker = self.brokers(workload)
        count = self.count(workload, consumer)
        broker.fill([("bench_ignored", str(uuid.uuid4())) for _ in range(count)])
        return {f"{workload}.limit": (consumer.rate(broker.port, count), "messages/s")}

    def get(self, workload, worker):
        figures = {}
        broker = self.brokers(workload)
        for engine in worker.engines:
            at = f"@{engine}" if engine else ""
            worker.start(broker.url, self.redis.url, engine)
            try:
                worker.ask(broker.url, self.redis.url, "get", "bench_stored", 20)
                p50, p99 = worker.ask(broker.url, self.redis.url, "get", "bench_stored",
                                      200 if self.quick else 1000)
            finally:
                worker.stop()
            figures[f"Q5.p50{at}"], figures[f"Q5.p99{at}"] = (p50, "ms"), (p99, "ms")
        return figures

    def idle(self, workload, worker):
        figures = {}
        broker = self.brokers(workload)
        for engine in worker.engines:
            at = f"@{engine}" if engine else ""
            worker.start(broker.url, self.redis.url, engine)
            try:
                worker.ask(broker.url, self.redis.url, "get", "bench_stored", 10)
                time.sleep(2)
                figures[f"Q.idle{at}"] = (serving.resident_kib(worker.process.pid) / 1024, "MiB")
            finally:
                worker.stop()
        return figures

    def run(self, workload, worker):
        """Returns (figures, why not the others)."""
        try:
            how = {"Q5": self.get, "Q.idle": self.idle}.get(workload, self.rates)
            how = self.limit if isinstance(worker, Consumer) else how
            return how(workload, worker), None
        except (Failed, OSError, ValueError, ImportError, subprocess.SubprocessError) as error:
            return {}, str(error)
