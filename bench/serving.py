# SPDX-License-Identifier: MIT
"""The workloads of servers, V1 to V3 and V.idle: who serves, and what is measured.

A server here is a process that is started, says its port on its first line or is given a free one,
and is stopped by its number. What each has to answer is described in README.md."""

import getpass
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = os.path.join(HERE, "peers", "servers")
WORKLOADS = ["V1", "V2", "V3", "V.idle"]
PRIMES = ("/is_prime/112272535095293,112582705942171,112272535095293,115280095190773,"
          "115797848077099,112272535095293")
IDLE_CONNECTIONS = 10_000

NGINX = """daemon off; master_process on; worker_processes {cores}; pid {folder}/nginx.pid;
worker_rlimit_nofile 20000; error_log {folder}/error.log crit;
events {{ worker_connections 19000; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port} backlog=4096 reuseport;
    location / {{ default_type "text/plain; charset=utf-8"; return 200 "Hello, world!\\n"; }} }}
}}
"""

H2O = """user: {user}
num-threads: {cores}
max-connections: 19000
pid-file: {folder}/h2o.pid
error-log: {folder}/h2o.log
http1-request-timeout: 600
listen:
  host: 127.0.0.1
  port: {port}
hosts:
  default:
    paths:
      "/":
        file.dir: {folder}/files
        file.index: [index.txt]
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def find(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def tree(pid):
    """The process and its descendants."""
    pids = [pid]
    for at in pids:
        try:
            with open(f"/proc/{at}/task/{at}/children", encoding="ascii") as file:
                pids += [int(word) for word in file.read().split()]
        except OSError:
            pass
    return pids


def resident_kib(pid, field="VmRSS"):
    total = 0
    for at in tree(pid):
        try:
            with open(f"/proc/{at}/status", encoding="ascii") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith(field + ":"))
        except OSError:
            pass
    return total


class Server:
    """One that takes part; `command(folder, port, cores)` gives its argument list."""

    def __init__(self, name, kind, workloads, command, says_port=True):
        self.name, self.kind, self.workloads = name, kind, workloads
        self.command, self.says_port = command, says_port
        self.process = self.port = None

    def start(self, folder, cores, prefix):
        folder = os.path.join(folder, self.name)
        os.makedirs(folder, exist_ok=True)
        self.port = None if self.says_port else free_port()
        command = prefix + self.command(folder, self.port, cores)
        with open(os.path.join(folder, "output"), "wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, stderr=log, start_new_session=True,
                                            stdout=subprocess.PIPE if self.says_port else log)
        if self.says_port:
            line = self.process.stdout.readline().strip()
            self.port = int(line) if line.isdigit() else 0
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.has_ended():
                    break
                time.sleep(0.05)
        self.stop()
        raise RuntimeError("does not answer")

    def has_ended(self):
        """Without taking its status, so that the number stays its own."""
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def stop(self):
        """By its number; then the group it leads, since a pool may outlive the server it was in."""
        os.kill(self.process.pid, signal.SIGTERM)  # terminate() would take the status first
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and not self.has_ended():
            time.sleep(0.02)
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def nginx_command(folder, port, cores):
    write(os.path.join(folder, "nginx.conf"), NGINX.format(folder=folder, port=port, cores=cores))
    return [find("nginx"), "-p", folder, "-c", os.path.join(folder, "nginx.conf")]


def h2o_command(folder, port, cores):
    os.makedirs(os.path.join(folder, "files"), exist_ok=True)
    write(os.path.join(folder, "files", "index.txt"), "Hello, world!\n")
    write(os.path.join(folder, "h2o.conf"),
          H2O.format(folder=folder, port=port, cores=cores, user=getpass.getuser()))
    return [find("h2o"), "-m", "worker", "-c", os.path.join(folder, "h2o.conf")]


def gunicorn_command(folder, port, cores):
    return [find("gunicorn"), "--chdir", PEERS, "--bind", f"127.0.0.1:{port}", "--workers",
            str(cores), "--worker-class", "gthread", "--threads", "100", "--keep-alive", "600",
            "--worker-connections", "2000", "--worker-tmp-dir", "/dev/shm", "flask_app:app"]


def servers(builddir, where, build, skip):
    """Those that are here; `build` and `skip` are the runner's."""
    weft = os.path.join(builddir, "bench", "serve_weft")
    naive = os.path.join(builddir, "bench", "naive_serve")
    if os.path.exists(weft):
        yield Server("weft", "weft", WORKLOADS, lambda folder, port, cores: [weft])
    else:
        skip("weft", "this build has no HTTP server")
    yield Server("naive-serve", "naive", ["V1"], lambda folder, port, cores: [naive])
    if find("nginx"):
        yield Server("nginx", "peer", ["V1", "V.idle"], nginx_command, says_port=False)
    else:
        skip("nginx", "it is not installed")
    if find("h2o"):
        yield Server("h2o", "peer", ["V1", "V.idle"], h2o_command, says_port=False)
    else:
        skip("h2o", "it is not installed")
    binary = os.path.join(where, "microhttpd")
    if build("libmicrohttpd", "gcc", ["gcc", "-O2", os.path.join(PEERS, "microhttpd.c"), "-o",
                                      binary, "-lmicrohttpd"]):
        yield Server("libmicrohttpd", "peer", ["V1", "V.idle"],
                     lambda folder, port, cores: [binary, str(cores)])
    go = os.path.join(where, "go-server")
    env = dict(os.environ, GO111MODULE="off", GOFLAGS="", GOCACHE=os.path.join(where, "go-cache"))
    if build("go net/http", "go", ["go", "build", "-o", go, "."], os.path.join(PEERS, "go"), env):
        yield Server("go", "peer", WORKLOADS, lambda folder, port, cores: [go])
    node = "/usr/bin/node" if os.path.exists("/usr/bin/node") else find("node")
    if node:
        yield Server("node", "peer", ["V1", "V2", "V.idle"],
                     lambda folder, port, cores: [node, os.path.join(PEERS, "node.js")])
    else:
        skip("node", "it is not installed")
    flask = subprocess.run(["/usr/bin/python3", "-c", "import flask"], capture_output=True)
    if find("gunicorn") and flask.returncode == 0:
        yield Server("flask", "peer", ["V1", "V2", "V3"], gunicorn_command, says_port=False)
    else:
        skip("flask", "flask or gunicorn is not installed")


class Failed(Exception):
    pass


def wrk(server, path, connections, seconds, threads, prefix):
    """Answers a second; what is not a 200, or a connection that broke, does not count."""
    done = subprocess.run(prefix + ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s",
                                    "--timeout", "10s", f"http://127.0.0.1:{server.port}{path}"],
                          capture_output=True, text=True, timeout=seconds + 60)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    wrong = re.search(r"(Non-2xx.*|Socket errors.*)", done.stdout)
    if not rate or wrong:
        raise Failed(wrong.group(1) if wrong else "wrk said nothing")
    if not float(rate.group(1)):
        raise Failed(f"not one answer within {seconds} s")
    return float(rate.group(1))


def load(builddir, server, path, connections, seconds):
    done = subprocess.run([os.path.join(builddir, "bench", "load_http"), str(server.port), path,
                           str(connections), str(seconds)], capture_output=True, text=True,
                          timeout=seconds + 60)
    if done.returncode != 0:
        raise Failed(done.stderr.strip() or "the client failed")
    return [float(word) for word in done.stdout.split()]


class Serving:
    """One workload over all that know it, in turn."""

    def __init__(self, builddir, where, quick, pinned):
        self.builddir, self.quick, self.pinned = builddir, quick, pinned
        self.folder = os.path.join(where, "serving")
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    def with_server(self, server, cores, prefix, measure):
        """Returns (figures, why not the others)."""
        figures, why = {}, None
        try:
            server.start(self.folder, cores, prefix)
            try:
                for key, value in measure(server):
                    figures[key] = value
            finally:
                server.stop()
        except (Failed, RuntimeError, ValueError, subprocess.SubprocessError) as error:
            why = str(error)
        return figures, why

    def hello(self, server):
        seconds, cores = 1 if self.quick else 2, os.cpu_count()
        sides = [("pinned", 1, self.pinned(1), 1, self.pinned(0))]
        if server.kind != "naive" and cores > 1:
            sides.append(("all", cores, [], 2, []))
        all_figures, failure = {}, None
        for side, cores, prefix, threads, client in sides:
            def measure(server):
                for connections in (64, 1000):
                    rate = wrk(server, "/", connections, seconds, threads, client)
                    yield f"V1.{side}.{connections}", (rate, "req/s")
            figures, why = self.with_server(server, cores, prefix, measure)
            all_figures.update(figures)
            failure = failure or why and f"{side}: {why}"
        return all_figures, failure

    def waits(self, server):
        # Flask has a thread for each wait; that goes so far and no further.
        most = 100 if server.name == "flask" else 10_000

        def measure(server):
            for connections in (1, 100, 1000, 10_000):
                if connections > most:
                    break
                seconds = 1 if self.quick else 2 if connections < 1000 else 3
                rate, _, p99 = load(self.builddir, server, "/waits", connections, seconds)
                yield f"V2.{connections}", (rate, "req/s")
                yield f"V2.{connections}.p99", (p99, "ms")
            if most == 10_000:
                yield "V2.memory", (resident_kib(server.process.pid, "VmHWM") / 1024, "MiB")
        return self.with_server(server, os.cpu_count(), [], measure)

    def primes(self, server):
        def measure(server):
            seconds = 1 if self.quick else 12 if server.name == "flask" else 4
            paths = [("V3", PRIMES)]
            if server.kind == "weft":
                paths = [("V3@threads", PRIMES),
                         ("V3@processes", PRIMES.replace("is_prime", "on_processes"))]
            for key, path in paths:
                yield key, (wrk(server, path, 8, seconds, 1, []), "req/s")
        return self.with_server(server, os.cpu_count(), [], measure)

    def idle(self, server):
        def measure(server):
            before = resident_kib(server.process.pid)
            client = subprocess.Popen([os.path.join(self.builddir, "bench", "load_http"),
                                       str(server.port), "/", str(IDLE_CONNECTIONS), "hold"],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            try:
                if client.stdout.readline() != "ready\n":
                    raise Failed("not all connections were served")
                time.sleep(1.5)  # what is given back after a second of rest is not counted
                after = resident_kib(server.process.pid)
            finally:
                client.stdin.close()
                client.wait()
                client.stdout.close()
            yield "V.idle", ((after - before) * 1024 / IDLE_CONNECTIONS, "bytes")
        return self.with_server(server, os.cpu_count(), [], measure)

    def run(self, workload, server):
        return {"V1": self.hello, "V2": self.waits, "V3": self.primes,
                "V.idle": self.idle}[workload](server)
