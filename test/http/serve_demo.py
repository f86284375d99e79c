# SPDX-License-Identifier: MIT
"""weft serve --demo: the services of the texts, their metrics and their crashes."""
import concurrent.futures
import http.client
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import uuid

from weft import PATIENCE_S, PROGRAM

THREE = b'{"result_file": "file result", "result_db": "db result", "result_api": "api result"}'
# The largest prime below 2^64: dividing by every odd number takes some seconds on any machine.
SLOW_PRIME = 2**64 - 59


class Demo:
    """A running `weft serve --demo`; as a context, stopped at its end. Its processes can be told from
    all others by a word in their environment."""

    def __init__(self, *options):
        self.mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [PROGRAM, "serve", "--demo", "--listen", "127.0.0.1:0", *options], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, env={**os.environ, "WEFT_TEST_MARK": self.mark})
        url = self.process.stdout.readline().decode().strip()
        if not url:
            self.process.wait()
            raise AssertionError("it did not start")
        host, port = url[len("http://"):-1].rsplit(":", 1)
        self.address = host, int(port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.returncode is None:
            self.stop()
        self.process.stdout.close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def connect(self):
        return http.client.HTTPConnection(*self.address, timeout=PATIENCE_S)

    def get(self, path, method="GET"):
        """Returns (status, body, headers, seconds)."""
        connection = self.connect()
        start = time.monotonic()
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body, answer.headers, time.monotonic() - start

    def metrics(self):
        status, body, headers, _ = self.get("/metrics")
        if status != 200 or headers["Content-Type"] != "text/plain; version=0.0.4; charset=utf-8":
            raise AssertionError(f"{status} {headers}")
        return parse_metrics(body.decode())

    def wait_for_metric(self, name, least, **labels):
        """Until a metric is that large."""
        end = time.monotonic() + PATIENCE_S
        while self.metrics()[name][tuple(sorted(labels.items()))] < least:
            if time.monotonic() > end:
                raise AssertionError(f"{name} does not get to {least}")

    def processes(self):
        """The numbers of its processes but the first, each with the ticks of time it has used."""
        found = {}
        for name in os.listdir("/proc"):
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    marked = f"WEFT_TEST_MARK={self.mark}".encode() in file.read().split(b"\0")
                with open(f"/proc/{name}/stat") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
            except (OSError, IndexError):
                continue
            if marked and int(name) != self.process.pid:
                found[int(name)] = int(fields[11]) + int(fields[12])
        return found

    def computing(self):
        """Waits until one of its processes has computed for a while, and returns its number."""
        end, before = time.monotonic() + PATIENCE_S, self.processes()
        while time.monotonic() < end:
            used = {pid: ticks - before.get(pid, 0) for pid, ticks in self.processes().items()}
            if used and max(used.values()) >= 10:
                return max(used, key=used.get)
            time.sleep(0.01)
        raise AssertionError("no process computes")


NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)")


def parse_metrics(text):
    """Prometheus's text format 0.0.4, with no more freedom than its description gives. Returns
    {name: {sorted (label, value) pairs: number}}."""
    if not text.endswith("\n"):
        raise AssertionError("the last line has no end")
    found, helped, types, family = {}, set(), {}, None
    for line in text.split("\n")[:-1]:
        if match := re.fullmatch(rf"# HELP ({NAME}) (.*)", line):
            family = match[1]
            if family in helped or not re.fullmatch(r"([^\\]|\\[\\n])*", match[2]):
                raise AssertionError(line)
            helped.add(family)
        elif match := re.fullmatch(rf"# TYPE ({NAME}) (counter|gauge|histogram)", line):
            if match[1] != family or family in types:
                raise AssertionError(line)
            types[family] = match[2]
        elif match := SAMPLE.fullmatch(line):
            name, labels = match[1], tuple(sorted((pair[1], pair[2]) for pair in
                                                  re.finditer(LABEL, match[2] or "")))
            allowed = {family + suffix for suffix in ("_bucket", "_sum", "_count")} if \
                types[family] == "histogram" else {family}
            if name not in allowed or labels in found.setdefault(name, {}):
                raise AssertionError(f"out of its family, or twice: {line}")
            if len({label for label, _ in labels}) != len(labels):
                raise AssertionError(f"a label twice: {line}")
            found[name][labels] = float(match[7].replace("Inf", "inf"))
            if types[family] == "counter" and not (name.endswith("_total") and found[name][labels] >= 0):
                raise AssertionError(f"no counter: {line}")
        else:
            raise AssertionError(f"not a line of the format: {line!r}")
    for family in (name for name, kind in types.items() if kind == "histogram"):
        buckets = sorted((float(dict(labels)["le"].replace("Inf", "inf")), count)
                         for labels, count in found[family + "_bucket"].items())
        counts = [count for _, count in buckets]
        if counts != sorted(counts) or buckets[-1] != (math.inf, found[family + "_count"][()]):
            raise AssertionError(f"{family}: {buckets}")
    if set(types) != helped or not all(any(name.startswith(family) for name in found) for family in types):
        raise AssertionError("a family without its type or without values")
    return found


class ServeDemo(unittest.TestCase):
    def is_prime(self, demo, numbers, wanted):
        status, body, headers, _ = demo.get("/is_prime/" + numbers)
        self.assertEqual((status, body.decode()), (200, wanted), numbers)
        self.assertEqual(headers["Content-Type"], "application/json")

    def test_three_waits_take_as_long_as_the_longest(self):
        with Demo() as demo:
            for path, least in (("/", 0.3), ("/fibers", 0.3), ("/serial", 0.6)):
                status, body, headers, seconds = demo.get(path)
                self.assertEqual((status, body), (200, THREE))
                self.assertEqual(headers["Content-Type"], "application/json")
                self.assertGreaterEqual(seconds, least)
                self.assertLess(seconds, 10 * least)
            status, body, headers, _ = demo.get("/", "HEAD")
            self.assertEqual((status, body, headers["Content-Length"]), (200, b"", str(len(THREE))))
            self.assertEqual(demo.get("/", "POST")[0], 405)
            self.assertEqual(demo.get("/nowhere")[0], 404)
            with concurrent.futures.ThreadPoolExecutor(30) as pool:
                for status, body, _, seconds in pool.map(demo.get, ["/"] * 10 + ["/fibers"] * 20):
                    self.assertEqual((status, body), (200, THREE))
                    self.assertGreaterEqual(seconds, 0.3)
            self.assertEqual(demo.stop(), 0)

    def test_primes_of_a_list(self):
        with Demo() as demo:
            self.is_prime(demo, "97", '{"97": true}')
            self.is_prime(demo, "0,1,2,3,4,5,6,7,8,9",
                          '{"0": false, "1": false, "2": true, "3": true, "4": false, "5": true, '
                          '"6": false, "7": true, "8": false, "9": false}')
            self.is_prime(demo, "112272535095293,112272535095295",
                          '{"112272535095293": true, "112272535095295": false}')
            # What is asked for twice is a key once, where it stood first, however it was written.
            self.is_prime(demo, "7,4,7,007,4", '{"7": true, "4": false}')
            self.is_prime(demo, "-7,-0,00,0,-1", '{"-7": false, "0": false, "-1": false}')
            many = ",".join(str(n % 10) for n in range(512))
            self.assertEqual(len(json.loads(demo.get("/is_prime/" + many)[1])), 10)
            many = ",".join(str(n) for n in range(279))
            self.assertEqual(sum(json.loads(demo.get("/is_prime/" + many)[1]).values()), 59)

    def test_primes_of_any_size(self):
        m89, m127, m521 = 2**89 - 1, 2**127 - 1, 2**521 - 1
        cases = {2**32: False, 65537**2: False, 2**64 - 1: False, 2**64 - 3: False, 2**64: False,
                 2**64 + 13: True, 10**40: False, 10**40 + 1: False, 10**40 + 121: True, m127: True,
                 m521: True, m89 * m127: False, m521 * m89: False, 10**1022: False}
        with Demo() as demo:
            for number, prime in cases.items():
                status, body, _, _ = demo.get(f"/is_prime/{number}")
                if status == 501:
                    self.assertGreaterEqual(number, 2**64)
                    self.assertIn("gmp", json.loads(body)["error"])
                else:
                    self.assertEqual((status, json.loads(body)), (200, {str(number): prime}))
            self.assertEqual(demo.get("/is_prime/18446744073709551557000")[0],
                             demo.get(f"/is_prime/{10**40}")[0])

    def test_what_is_no_list_of_integers_is_told(self):
        with Demo() as demo:
            for numbers, what in (("", ""), (",", ""), ("1,", ""), (",1", ""), ("1,,2", ""),
                                  ("%20", " "), ("1,%202", " 2"), ("+1", "+1"), ("--1", "--1"),
                                  ("-", "-"), ("1e3", "1e3"), ("0x1f", "0x1f"), ("1.0", "1.0"),
                                  ("1_000", "1_000"), ("seven", "seven"), ("1;2", "1;2"),
                                  ("1/2", "1/2"), ("%D9%A3", "\u0663"), ("1,%22", '"')):
                status, body, headers, _ = demo.get("/is_prime/" + numbers)
                self.assertEqual((status, headers["Content-Type"]), (400, "application/json"), numbers)
                answer = json.loads(body)
                self.assertEqual(answer["error"], f'"{what}" is not an integer')
                self.assertTrue(answer["request"])
            # A byte that is no UTF-8 does not make the answer wrong, nor a NUL the list short.
            self.assertEqual(demo.get("/is_prime/%ff")[0], 400)
            self.assertEqual(demo.get("/is_prime/1%00")[0], 400)
            status, body, _, _ = demo.get("/is_prime/" + "x" * 1000)
            self.assertEqual(status, 400)
            json.loads(body)
            # Longer lists are not read at all.
            for length, wanted in ((1025, 414), (100000, 431)):
                status, body, _, _ = demo.get("/is_prime/" + "9" * length)
                self.assertIn(status, (414, wanted))
            self.assertEqual(demo.get("/is_prime/7")[0], 200)

    def test_a_crash_is_one_answer_of_500(self):
        with Demo() as demo, concurrent.futures.ThreadPoolExecutor(1) as pool:
            for round in range(2):
                asked = pool.submit(demo.get, f"/is_prime/{SLOW_PRIME}")
                worker = demo.computing()
                os.kill(worker, signal.SIGKILL)
                status, body, headers, _ = asked.result(PATIENCE_S)
                self.assertEqual((status, headers["Content-Type"]), (500, "application/json"))
                answer = json.loads(body)
                self.assertRegex(answer["request"], r"^[0-9a-f]{8}-\d+-\d+$")
                self.assertTrue(answer["error"])
                self.assertNotIn(worker, demo.processes())
                self.is_prime(demo, "97,98", '{"97": true, "98": false}')
                self.assertEqual(demo.get("/")[1], THREE)
            self.assertEqual(demo.metrics()["weft_http_responses_total"][(("class", "5xx"),)], 2)
            self.assertEqual(demo.stop(), 0)

    def test_a_client_that_goes_away_takes_its_tasks_along(self):
        with Demo() as demo:
            with socket.create_connection(demo.address, timeout=PATIENCE_S) as connection:
                connection.sendall(b"GET /is_prime/%d HTTP/1.1\r\nHost: h\r\n\r\n" % SLOW_PRIME)
                demo.computing()
            demo.wait_for_metric("weft_http_canceled_total", 1)
            # Whatever the worker was computing it has stopped: now nothing uses time.
            before = demo.processes()
            self.is_prime(demo, "97", '{"97": true}')
            end = time.monotonic() + PATIENCE_S
            while (after := demo.processes()) != before and time.monotonic() < end:
                before = after
                time.sleep(0.2)
            self.assertEqual(after, before)

    def test_metrics_count_what_happens(self):
        with Demo() as demo:
            before = demo.metrics()
            for path in ("/", "/nowhere", "/nowhere", "/is_prime/x", "/healthz"):
                demo.get(path)
            with socket.create_connection(demo.address, timeout=PATIENCE_S) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
                self.assertIn(b"HTTP/1.1 400 ", connection.recv(1000))
            after = demo.metrics()

            def grown(name, **labels):
                key = tuple(sorted(labels.items()))
                return after[name][key] - before[name][key]
            self.assertEqual(grown("weft_http_connections_total"), 7)
            self.assertEqual(grown("weft_http_requests_total"), 6)
            self.assertEqual(grown("weft_http_refused_total"), 1)
            # The page that counts is not counted on itself, but is on the next.
            self.assertEqual(grown("weft_http_responses_total", **{"class": "2xx"}), 3)
            self.assertEqual(grown("weft_http_responses_total", **{"class": "4xx"}), 4)
            self.assertEqual(grown("weft_http_responses_total", **{"class": "5xx"}), 0)
            self.assertEqual(grown("weft_http_request_duration_seconds_count"), 6)
            self.assertGreaterEqual(grown("weft_http_request_duration_seconds_sum"), 0.3)
            self.assertEqual(grown("weft_http_request_duration_seconds_bucket", le="0.268435456"), 5)
            ended = {dict(labels)["engine"]: count for labels, count in
                     after["weft_tasks_ended_total"].items()}
            self.assertGreaterEqual(ended["threads"], 3)
            self.assertIn("processes", ended)
            self.assertGreaterEqual(sum(after["weft_worker_jobs_total"].values()), 7)
            with open(f"/proc/{demo.process.pid}/limits") as file:
                limit = re.search(r"Max open files\s+(\S+)", file.read())[1]
            if limit != "unlimited":
                self.assertEqual(after["process_max_fds"][()], int(limit))
            self.assertGreater(after["process_open_fds"][()], 3)
            self.assertGreater(after["process_resident_memory_bytes"][()], 1e6)
            self.assertGreaterEqual(after["process_threads"][()], 2)
            self.assertLess(abs(after["process_start_time_seconds"][()] - time.time()), 3600)
            if promtool := shutil.which("promtool"):
                checked = subprocess.run([promtool, "check", "metrics"], input=demo.get("/metrics")[1],
                                         capture_output=True, timeout=PATIENCE_S)
                self.assertEqual((checked.returncode, checked.stdout, checked.stderr), (0, b"", b""))

    def test_health_and_a_kept_connection(self):
        with Demo() as demo:
            connection = demo.connect()
            for _ in range(3):
                connection.request("GET", "/healthz")
                answer = connection.getresponse()
                self.assertEqual((answer.status, answer.read()), (200, b'{"status": "ok"}'))
                self.assertEqual(answer.headers["Cache-Control"], "no-store")
            connection.close()

    def test_a_folder_stands_beside_the_services(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "page.txt"), "w") as file:
                file.write("a page")
            with Demo(folder) as demo:
                self.assertEqual(demo.get("/page.txt")[1], b"a page")
                self.assertEqual(demo.get("/healthz")[0], 200)
                self.assertEqual(demo.get("/")[1], THREE)


if __name__ == "__main__":
    from weft import main
    main(at_once=3)
