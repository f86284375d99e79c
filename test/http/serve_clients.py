#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Real clients against a server of the library: curl, wget, ab, wrk, Python's requests, and nginx as a
proxy in front. A client that is not installed skips its tests.

Run with the paths of weft and of clients_server as arguments.
"""
import gzip
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import weft
from weft import PATIENCE_S

os.environ["no_proxy"] = "*"
SERVER = os.path.abspath(sys.argv.pop(1))
try:
    import requests
except ImportError:
    requests = None
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
NGINX = shutil.which("nginx", path=PATH)
COUNT = 200 if weft.SANITIZED else 1000
MISSING = [name for name in ("curl", "wget", "ab", "wrk", "openssl") if not shutil.which(name)]
MISSING += [] if NGINX else ["nginx"]
MISSING += [] if requests else ["python3-requests"]
TEXT = b"".join(b"line %d of a text that can be made smaller\n" % i for i in range(3000))
LARGE = hashlib.sha256(b"large").digest() * 100000


def needs(*names):
    missing = [name for name in names if name in MISSING]
    return unittest.skipIf(missing, "there is no " + ", ".join(missing))


def fnv(data):
    """What the server makes of a body; of a few KiB, as Python is slow at it."""
    value = 2166136261
    for byte in data:
        value = (value ^ byte) * 16777619 & 0xffffffff
    return value


def run(*args, stdin=b"", cwd=None, ok=(0,)):
    ran = subprocess.run(args, input=stdin, cwd=cwd, capture_output=True, timeout=PATIENCE_S)
    if ran.returncode not in ok:
        raise AssertionError(f"{args}: status {ran.returncode}: {ran.stderr.decode()}")
    return ran


def setUpModule():
    """One folder and one server for all."""
    global folder, site, server, http, https, unix, chain
    folder = tempfile.mkdtemp()
    site, unix, chain = (os.path.join(folder, name) for name in ("site", "socket", "chain.pem"))
    os.makedirs(os.path.join(site, "tree", "a b", "deep"))
    os.mkdir(os.path.join(site, "many"))
    for name, data in (("text.txt", TEXT), ("large.bin", LARGE), ("packed.txt", TEXT),
                       ("packed.txt.gz", gzip.compress(TEXT)), ("tree/one.txt", b"one"),
                       ("tree/a b/two%.txt", b"two"), ("tree/a b/deep/three?.txt", TEXT)):
        with open(os.path.join(site, name), "wb") as file:
            file.write(data)
    for i in range(COUNT):
        with open(os.path.join(site, "many", str(i)), "wb") as file:
            file.write(hashlib.sha256(b"%d" % i).digest() * (1 + i % 97))
    arguments = [SERVER, site, unix]
    secure = "openssl" not in MISSING
    if secure:
        key = os.path.join(folder, "key.pem")
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", chain)
        arguments += [chain, key]
    server = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    http = server.stdout.readline().decode().strip()
    https = server.stdout.readline().decode().strip() if secure else None
    if not http:
        raise AssertionError("the server does not start")


def tearDownModule():
    server.send_signal(signal.SIGTERM)
    status = server.wait(PATIENCE_S)
    server.stdout.close()
    shutil.rmtree(folder)
    if status:
        raise AssertionError(f"the server ended with status {status}")


def curl(*args, **more):
    return run("curl", "--silent", "--show-error", "--http1.1", "--cacert", chain, *args, **more)


@needs("curl")
class Curl(unittest.TestCase):
    def setUp(self):
        self.to = tempfile.TemporaryDirectory()
        self.addCleanup(self.to.cleanup)

    def file(self, name, data=None):
        path = os.path.join(self.to.name, name)
        if data is not None:
            with open(path, "wb") as file:
                file.write(data)
        return path

    def told(self, ran):
        told = json.loads(ran.stdout)
        return told["method"], told["bytes"], told["sum"]

    def each_way(self, case):
        case(http)
        if https:
            case(https)
        case("http://localhost", "--unix-socket", unix)

    def test_get_and_head(self):
        def case(base, *way):
            self.assertEqual(curl(*way, base + "/large.bin").stdout, LARGE)
            head = curl(*way, "--head", base + "/large.bin").stdout
            self.assertIn(b"Content-Length: %d\r\n" % len(LARGE), head)
        self.each_way(case)

    def test_bodies_of_known_and_unknown_length(self):
        data = LARGE[:20000]
        wanted = len(data), fnv(data)
        path = self.file("data", data)

        def case(base, *way):
            url = base + "/sum"
            self.assertEqual(self.told(curl(*way, "--data-binary", "@" + path, url)),
                             ("POST", *wanted))
            self.assertEqual(self.told(curl(*way, "--data-binary", "@" + path, "--header",
                                            "Transfer-Encoding: chunked", url)), ("POST", *wanted))
            self.assertEqual(self.told(curl(*way, "--upload-file", path, url + "/")),
                             ("PUT", *wanted))
            self.assertEqual(self.told(curl(*way, "--upload-file", "-", url, stdin=data)),
                             ("PUT", *wanted))
        self.each_way(case)

    def test_a_large_upload_waits_for_100(self):
        path = self.file("large", LARGE)
        ran = curl("--verbose", "--expect100-timeout", str(PATIENCE_S), "--header",
                   "Expect: 100-continue", "--upload-file", path, http + "/sum")
        self.assertIn(b"< HTTP/1.1 100 Continue", ran.stderr)
        self.assertEqual(json.loads(ran.stdout)["bytes"], len(LARGE))
        # One that nobody wants is not sent: nothing takes a PUT of that path.
        ran = curl("--verbose", "--header", "Expect: 100-continue", "--upload-file", path,
                   http + "/text.txt")
        self.assertIn(b"< HTTP/1.1 405 ", ran.stderr)
        self.assertNotIn(b"100 Continue", ran.stderr)

    def test_a_redirected_post_arrives(self):
        data = b"x" * 5000
        ran = curl("--location", "--data-binary", "@-", http + "/elsewhere", stdin=data)
        self.assertEqual(self.told(ran), ("POST", len(data), fnv(data)))

    def test_ranges(self):
        def case(base, *way):
            url = base + "/large.bin"
            for part, data in (("0-9", LARGE[:10]), ("-5", LARGE[-5:]), ("3000000-", LARGE[3000000:]),
                               ("0-1,5-6", LARGE)):
                self.assertEqual(curl(*way, "--range", part, url).stdout, data)
            path = self.file("resumed", LARGE[:1234567])
            curl(*way, "--continue-at", "-", "--output", path, url)
            with open(path, "rb") as file:
                self.assertEqual(file.read(), LARGE)
        self.each_way(case)

    def test_conditions(self):
        status = ("--write-out", "%{http_code} %{size_download}", "--output", os.devnull)
        for extra in ((), ("--compressed",)):
            tag, url = self.file("tag"), http + "/text.txt"
            curl(*extra, "--etag-save", tag, "--output", os.devnull, url)
            self.assertEqual(curl(*extra, *status, "--etag-compare", tag, url).stdout, b"304 0")
            with open(tag, "w") as file:
                file.write('"another"\n')
            self.assertTrue(curl(*extra, *status, "--etag-compare", tag, url).stdout.startswith(b"200"))
            # The file's own time: it has not changed since.
            self.assertEqual(curl(*extra, *status, "--time-cond", os.path.join(site, "text.txt"),
                                  url).stdout, b"304 0")
            self.assertTrue(curl(*extra, *status, "--time-cond", "Mon, 01 Jan 2001 00:00:00 GMT",
                                 url).stdout.startswith(b"200"))

    def test_compressed(self):
        def case(base, *way):
            for name in ("text.txt", "packed.txt"):
                dump = self.file("head")
                ran = curl(*way, "--compressed", "--dump-header", dump, base + "/" + name)
                self.assertEqual(ran.stdout, TEXT)
                with open(dump) as file:
                    self.assertIn("content-encoding: gzip\n", file.read().lower())
        self.each_way(case)

    def test_one_connection_for_several(self):
        def case(base, *way):
            urls = [base + path for path in ("/text.txt", "/none", "/large.bin", "/tree/", "/sum")]
            outputs = [part for _ in urls for part in ("--output", os.devnull)]
            ran = curl(*way, "--write-out", "%{num_connects}:%{http_code} ", *outputs, *urls)
            self.assertEqual(ran.stdout, b"1:200 0:404 0:200 0:200 0:200 ")
        self.each_way(case)

    def test_http_1_0(self):
        for extra in ((), ("--compressed",), ("--header", "Connection: keep-alive")):
            for path, data in (("/text.txt", TEXT), ("/large.bin", LARGE)):
                self.assertEqual(curl("--http1.0", *extra, http + path).stdout, data)
        self.assertIn(b"three%3F.txt", curl("--http1.0", http + "/tree/a%20b/deep/").stdout)

    def test_many_files_at_once(self):
        def case(base, count):
            to = self.file(base.split(":")[0])
            os.mkdir(to)
            curl("--fail", "--parallel", "--parallel-max", "50", "--no-progress-meter",
                 "--output-dir", to, "--remote-name-all", f"{base}/many/[0-{count - 1}]")
            for i in range(count):
                with open(os.path.join(to, str(i)), "rb") as file:
                    got = hashlib.sha256(file.read()).digest()
                wanted = hashlib.sha256(b"%d" % i).digest() * (1 + i % 97)
                self.assertEqual(got, hashlib.sha256(wanted).digest(), i)
        case(http, COUNT)
        if https:
            case(https, COUNT // 10)


@needs("wget")
class Wget(unittest.TestCase):
    def test_a_download_is_continued(self):
        with tempfile.TemporaryDirectory() as to:
            path = os.path.join(to, "large.bin")
            with open(path, "wb") as file:
                file.write(LARGE[:1000000])
            ran = run("wget", "--no-verbose", "--continue", "--server-response",
                      http + "/large.bin", cwd=to)
            self.assertIn(b"206 Partial Content", ran.stderr)
            with open(path, "rb") as file:
                self.assertEqual(file.read(), LARGE)
            again = run("wget", "--no-verbose", "--continue", "--server-response",
                        http + "/large.bin", cwd=to)
            self.assertIn(b"416 Range Not Satisfiable", again.stderr)

    def test_listings_are_mirrored(self):
        with tempfile.TemporaryDirectory() as to:
            run("wget", "--quiet", "--mirror", "--no-parent", "--no-host-directories",
                http + "/tree/", cwd=to)
            for name in ("one.txt", "a b/two%.txt", "a b/deep/three?.txt"):
                with open(os.path.join(site, "tree", name), "rb") as file:
                    wanted = file.read()
                with open(os.path.join(to, "tree", name), "rb") as file:
                    self.assertEqual(file.read(), wanted)
            self.assertFalse(os.path.exists(os.path.join(to, "many")))


class Load(unittest.TestCase):
    @needs("ab")
    def test_ab_keeps_its_connections(self):
        for extra in ((), ("-H", "Accept-Encoding: gzip")):
            count = COUNT if not extra else COUNT // 10
            told = run("ab", "-q", "-k", "-c", "10", "-n", str(count), *extra,
                       http + "/text.txt").stdout.decode()
            self.assertRegex(told, r"Complete requests: +%d\n" % count)
            self.assertRegex(told, r"Failed requests: +0\n")
            if not extra:  # compressed on its way, its end is that of the connection: it asks as 1.0
                self.assertRegex(told, r"Keep-Alive requests: +%d\n" % count)

    @needs("wrk")
    def test_wrk_finds_no_error(self):
        for path, extra in (("/many/1", ()), ("/text.txt", ("-H", "Accept-Encoding: gzip"))):
            told = run("wrk", "-t1", "-c20", "-d1", *extra, http + path).stdout.decode()
            self.assertRegex(told, r"Requests/sec: +[1-9]")
            self.assertNotRegex(told, r"Socket errors|Non-2xx")


@unittest.skipUnless(requests, "there is no python3-requests")
class Requests(unittest.TestCase):
    def test_a_session(self):
        with requests.Session() as session:
            session.trust_env = False  # a bundle named there would go before ours
            session.verify = chain
            for base in filter(None, (http, https)):
                answer = session.get(base + "/text.txt", timeout=PATIENCE_S)
                self.assertEqual(answer.headers["Content-Encoding"], "gzip")
                self.assertEqual(answer.content, TEXT)
                again = session.get(base + "/text.txt", timeout=PATIENCE_S,
                                    headers={"If-None-Match": answer.headers["ETag"]})
                self.assertEqual(again.status_code, 304)
                listing = session.get(base + "/tree/", timeout=PATIENCE_S,
                                      headers={"Accept": "application/json"}).json()
                self.assertEqual([(entry["name"], entry["type"]) for entry in listing["entries"]],
                                 [("a b", "folder"), ("one.txt", "file")])
                answer = session.head(base + "/large.bin", timeout=PATIENCE_S)
                self.assertEqual(answer.headers["Content-Length"], str(len(LARGE)))
                part = session.get(base + "/large.bin", timeout=PATIENCE_S,
                                   headers={"Range": "bytes=100-199"})
                self.assertEqual((part.status_code, part.content), (206, LARGE[100:200]))
                data = TEXT[:4000]
                for body in (data, iter([data[:1], data[1:3000], data[3000:]])):
                    told = session.post(base + "/sum", data=body, timeout=PATIENCE_S).json()
                    self.assertEqual((told["bytes"], told["sum"]), (len(data), fnv(data)))
                told = session.post(base + "/elsewhere", json={"a": 1}, timeout=PATIENCE_S)
                self.assertEqual(told.json()["bytes"], len(json.dumps({"a": 1})))
                with session.get(base + "/large.bin", stream=True, timeout=PATIENCE_S) as answer:
                    self.assertEqual(b"".join(answer.iter_content(10000)), LARGE)


NGINX_CONF = """
daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log stderr error;
events {{ worker_connections 256; }}
http {{
    access_log off; client_max_body_size 0;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    upstream weft {{ server {backend}; keepalive 4; }}
    server {{
        listen unix:{socket};
        location / {{
            proxy_pass http://weft; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_set_header X-Forwarded-For "$http_x_forwarded_for, $http_x_test_client";
        }}
        location /events {{
            proxy_pass http://weft; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_buffering off;
        }}
        location /old/ {{ proxy_pass http://weft/; }}
        location /streamed/ {{
            proxy_pass http://weft/; proxy_http_version 1.1; proxy_request_buffering off;
        }}
    }}
}}
"""


@needs("nginx", "curl")
class Nginx(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.socket = os.path.join(cls.folder, "socket")
        conf = os.path.join(cls.folder, "nginx.conf")
        with open(conf, "w") as file:
            file.write(NGINX_CONF.format(socket=cls.socket, backend=http[len("http://"):]))
        cls.process = subprocess.Popen([NGINX, "-e", "stderr", "-p", cls.folder, "-c", conf],
                                       stdin=subprocess.DEVNULL)
        end = time.monotonic() + PATIENCE_S
        while not cls.answers():
            if time.monotonic() > end or cls.process.poll() is not None:
                raise AssertionError("nginx does not start")
            time.sleep(0.01)

    @classmethod
    def answers(cls):
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(cls.socket) == 0

    @classmethod
    def tearDownClass(cls):
        cls.process.terminate()
        cls.process.wait(PATIENCE_S)
        shutil.rmtree(cls.folder)

    def curl(self, *args, **more):
        return curl("--unix-socket", self.socket, *args, **more)

    def test_files_come_through(self):
        for place in ("", "/old", "/streamed"):  # kept connections of 1.1, and 1.0
            self.assertEqual(self.curl(f"http://h{place}/large.bin").stdout, LARGE)
            self.assertEqual(self.curl("--compressed", f"http://h{place}/text.txt").stdout, TEXT)
            self.assertEqual(self.curl("--range", "5-9", f"http://h{place}/text.txt").stdout,
                             TEXT[5:10])
            data = TEXT[:5000]
            told = json.loads(self.curl("--upload-file", "-", f"http://h{place}/sum",
                                        stdin=data).stdout)
            self.assertEqual((told["bytes"], told["sum"]), (len(data), fnv(data)))

    def test_kept_connections_carry_many(self):
        with tempfile.TemporaryDirectory() as to:
            self.curl("--fail", "--parallel", "--parallel-max", "20", "--no-progress-meter",
                      "--output-dir", to, "--remote-name-all", f"http://h/many/[0-{COUNT // 4 - 1}]")
            for i in range(COUNT // 4):
                with open(os.path.join(to, str(i)), "rb") as file:
                    wanted = hashlib.sha256(b"%d" % i).digest() * (1 + i % 97)
                    self.assertEqual(file.read(), wanted)

    def test_the_client_is_whom_the_proxy_names(self):
        # nginx adds its client's address to what that one has said of itself.
        for said, added, client in (("10.0.0.1", "192.0.2.7", "192.0.2.7"),
                                    ("10.0.0.1", "127.0.0.1", "10.0.0.1"),
                                    ("x", "2001:db8::1", "2001:db8::1")):
            told = json.loads(self.curl("--header", "X-Forwarded-For: " + said, "--header",
                                        "X-Test-Client: " + added, "http://h/sum").stdout)
            self.assertEqual(told["client"], client)

    def test_events_are_not_held_back(self):
        # The server makes each event only after the one before was seen here.
        watcher = subprocess.Popen(["curl", "--silent", "--no-buffer", "--unix-socket", self.socket,
                                    "--max-time", str(PATIENCE_S), "http://h/events"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        with watcher.stdout as lines:
            for i in (1, 2, 3):
                self.assertEqual(lines.readline(), b"data: event %d\n" % i)
                self.assertEqual(lines.readline(), b"\n")
                self.curl("http://h/next")
            self.assertEqual(lines.read(), b"")
        self.assertEqual(watcher.wait(PATIENCE_S), 0)


if __name__ == "__main__":
    if MISSING:
        print("missing, so less is tested (tools/deps test installs them):", ", ".join(MISSING))
    if len(MISSING) >= 6:
        sys.exit(77)
    weft.main()
