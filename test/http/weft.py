# SPDX-License-Identifier: MIT
"""What the tests of the commands share: the program under test, the test site, and records.

A test is run with the path of `weft` as its argument. Everything is on loopback, on ports the system
deals out; every process that is started is stopped by its id.
"""
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse
import urllib.request

PROGRAM = os.path.abspath(sys.argv.pop(1)) if len(sys.argv) > 1 else "weft"
# A sanitizer's build is slower and larger, so figures of time and memory say nothing there.
SANITIZED = os.environ.get("WEFT_SANITIZE", "none") != "none"
if SANITIZED:
    # TSan's programs sleep a second at their end; ours have joined their threads by then.
    os.environ["TSAN_OPTIONS"] = os.environ.get("TSAN_OPTIONS", "") + ":atexit_sleep_ms=0"
# Where a shell has started us in the background we ignore these, and so would our children.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
# How long anything may take that is expected to end by itself; only ever waited for in a failure.
PATIENCE_S = 100
# For pages that never come; an honest one takes a hundredth of it.
TIMEOUT_S = 4 if SANITIZED else 1
ENGINES = ("single", "threads", "fibers", "processes")


class Ran:
    """What came of a run: status (negative: the signal), out and err as bytes, peak memory, seconds."""

    def __init__(self, status, out, err, peak_bytes, seconds):
        self.status, self.out, self.err = status, out, err
        self.peak_bytes, self.seconds = peak_bytes, seconds

    @property
    def lines(self):
        return self.err.decode().splitlines()


def run(*args, stdin=None, stdout=None, cwd=None):
    """Runs weft to its end. Output goes through files: nobody has to read while it runs."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.monotonic()
        child = subprocess.Popen([PROGRAM, *map(str, args)], stdin=stdin or subprocess.DEVNULL,
                                 stdout=stdout or out, stderr=err, cwd=cwd)
        try:
            # Of this program, not of all children so far; but not less than this process held when
            # it started it, so a limit is for tests that hold little themselves.
            _, status, usage = wait4(child)
        finally:
            if child.returncode is None:
                child.kill()
                child.wait()
        seconds = time.monotonic() - start
        out.seek(0)
        err.seek(0)
        return Ran(status, out.read(), err.read(), usage.ru_maxrss * 1024, seconds)


def wait4(child):
    """wait4 with an end: a run that hangs is killed, which is seen in its status."""
    too_long = threading.Timer(PATIENCE_S, os.kill, (child.pid, signal.SIGKILL))
    too_long.start()
    try:
        pid, status, usage = os.wait4(child.pid, 0)
    finally:
        too_long.cancel()
        too_long.join()
    child.returncode = os.waitstatus_to_exitcode(status)
    return pid, child.returncode, usage


def together(case, *arguments):
    """Calls case(argument) for all of them at once, a thread each: cases that wait for the same
    seconds. The first that failed is raised, with its argument."""
    failures = []

    def call(argument):
        try:
            case(argument)
        except Exception as failure:
            failures.append((argument, failure))
    threads = [threading.Thread(target=call, args=(argument,)) for argument in arguments]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for argument, failure in failures:
        raise AssertionError(f"{argument}: {failure}") from failure


class Site:
    """A running `weft site`; as a context, stopped at its end."""

    def __init__(self, kind, pages=50, **options):
        more = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        self.process = subprocess.Popen(
            [PROGRAM, "site", "--kind", kind, "--pages", str(pages), *more],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.url = self.process.stdout.readline().decode().strip()
        if not self.url:
            self.process.wait()
            raise AssertionError("the site did not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def stats(self):
        return self.get("stats.json")

    def manifest(self):
        return self.get("manifest.json")

    def wait_for_requests(self, count):
        """Until so many requests have come in."""
        end = time.monotonic() + PATIENCE_S
        while self.stats()["requests"] < count:
            if time.monotonic() > end:
                raise AssertionError(f"the site has not seen {count} requests")
            time.sleep(0.005)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        if self.process.returncode is None:
            self.process.terminate()
            self.process.wait(PATIENCE_S)
            self.process.stdout.close()


def read_records(data):
    """The records of a whole file: every line is an object and ends in a newline."""
    if data and not data.endswith(b"\n"):
        raise AssertionError(f"the last line is torn: {data[-80:]!r}")
    records = [json.loads(line) for line in data.decode().split("\n")[:-1]]
    for record in records:
        if not {"url", "status", "bytes", "title", "links", "fields", "depth",
                "elapsed_ms"} <= record.keys():
            raise AssertionError(f"a key is missing: {record}")
    return records


UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


def canonical(base, ref):
    """The canonical form of a reference on the page `base`, worked out with another library."""
    url = urllib.parse.urlsplit(urllib.parse.urljoin(base, ref.strip()))
    if url.scheme not in ("http", "https"):
        return None

    def escape(match):
        char = chr(int(match[1], 16))
        return char if char in UNRESERVED else match[0].upper()

    path = urllib.parse.quote(url.path or "/", safe="/%:@!$&'()*+,;=~")
    path = re.sub("%([0-9A-Fa-f]{2})", escape, path)
    host = url.netloc.lower().removesuffix(":80" if url.scheme == "http" else ":443")
    return urllib.parse.urlunsplit((url.scheme, host, path, url.query, ""))


def main(at_once=1):
    """Runs the tests of the program; several at once where they are each other's strangers and most
    of their time is waiting."""
    if at_once == 1:
        unittest.main(verbosity=2)
    cases, groups = [], [unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])]
    for group in groups:
        for test in group:
            (groups if isinstance(test, unittest.TestSuite) else cases).append(test)

    def run(case):
        result = unittest.TestResult()
        start = time.monotonic()
        case.run(result)
        ended = "ok" if result.wasSuccessful() else "FAILED"
        print(f"{ended} {case.id()} {time.monotonic() - start:.2f} s", file=sys.stderr, flush=True)
        for _, trace in result.failures + result.errors:
            print(trace, file=sys.stderr, flush=True)
        return result.wasSuccessful() and result.testsRun == 1
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        good = list(pool.map(run, cases))
    print(f"{good.count(True)} of {len(good)} tests passed", file=sys.stderr)
    sys.exit(0 if good and all(good) else 1)
