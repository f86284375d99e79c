#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weft serve with real clients: files, parts, slow and half-closed clients, and a good end."""
import gzip
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest
import urllib.error
import urllib.request

from weft import PATIENCE_S, PROGRAM, run


class Serve:
    """A running `weft serve`; as a context, stopped at its end."""

    def __init__(self, folder, *options):
        self.process = subprocess.Popen(
            [PROGRAM, "serve", "--listen", "127.0.0.1:0", *options, folder],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.url = self.process.stdout.readline().decode().strip()
        if not self.url:
            self.process.wait()
            raise AssertionError("it did not start")
        host, port = self.url[len("http://"):-1].rsplit(":", 1)
        self.address = host, int(port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.returncode is None:
            self.stop()
        self.process.stdout.close()

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        return self.process.wait(PATIENCE_S)

    def connect(self):
        return socket.create_connection(self.address, timeout=PATIENCE_S)


def read_all(connection):
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


class ServeFiles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp()
        cls.digests = {}
        os.mkdir(os.path.join(cls.folder, "many"))
        for i in range(200):
            data = hashlib.sha256(b"%d" % i).digest() * (1 + i * 7)
            cls.digests[f"{i}.bin"] = hashlib.sha256(data).hexdigest()
            with open(os.path.join(cls.folder, "many", f"{i}.bin"), "wb") as file:
                file.write(data)
        cls.big = bytes(range(256)) * 40000
        with open(os.path.join(cls.folder, "big.bin"), "wb") as file:
            file.write(cls.big)
        with open(os.path.join(cls.folder, "text.txt"), "wb") as file:
            file.write(b"the same line, many times\n" * 400)
        with open(os.path.join(cls.folder, ".hidden"), "w") as file:
            file.write("hidden")
        with open(os.path.join(cls.folder, "index.html"), "w") as file:
            file.write("<title>index</title>")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def test_a_library_reads_pages_parts_and_refusals(self):
        with Serve(self.folder) as server:
            with urllib.request.urlopen(server.url, timeout=PATIENCE_S) as answer:
                self.assertEqual(answer.read(), b"<title>index</title>")
                self.assertTrue(answer.headers["Content-Type"].startswith("text/html"))
                tag = answer.headers["ETag"]
            part = urllib.request.Request(server.url + "big.bin", headers={"Range": "bytes=1000-1999"})
            with urllib.request.urlopen(part, timeout=PATIENCE_S) as answer:
                self.assertEqual(answer.status, 206)
                self.assertEqual(answer.read(), self.big[1000:2000])
            for path, headers, status in (("", {"If-None-Match": tag}, 304), ("none", {}, 404),
                                          ("%2e%2e/%2e%2e/etc/passwd", {}, 400)):
                with self.assertRaises(urllib.error.HTTPError) as raised:
                    urllib.request.urlopen(urllib.request.Request(server.url + path, headers=headers),
                                           timeout=PATIENCE_S)
                self.assertEqual(raised.exception.code, status)
                raised.exception.close()
            with self.assertRaises(urllib.error.HTTPError) as raised:
                urllib.request.urlopen(server.url, data=b"x", timeout=PATIENCE_S)
            self.assertEqual(raised.exception.code, 405)
            raised.exception.close()
            self.assertEqual(server.stop(), 0)

    def test_what_runs_is_shown_where_it_was_asked_for(self):
        with Serve(self.folder, "--debug") as server:
            with urllib.request.urlopen(server.url + "debug/tasks", timeout=PATIENCE_S) as answer:
                self.assertIn("\ntask wfi_root running ", answer.read().decode())
            with urllib.request.urlopen(server.url + "debug", timeout=PATIENCE_S) as answer:
                self.assertEqual(answer.url, server.url + "debug/")
                self.assertIn(b"debug.js", answer.read())
            with urllib.request.urlopen(server.url + "text.txt", timeout=PATIENCE_S) as answer:
                self.assertEqual(answer.status, 200)
        with Serve(self.folder) as server:
            with self.assertRaises(urllib.error.HTTPError) as raised:
                urllib.request.urlopen(server.url + "debug/tasks", timeout=PATIENCE_S)
            self.assertEqual(raised.exception.code, 404)
            raised.exception.close()

    def test_curl_fetches_many_files_at_once(self):
        if not shutil.which("curl"):
            self.skipTest("there is no curl")
        with Serve(self.folder) as server, tempfile.TemporaryDirectory() as to:
            subprocess.run(["curl", "--silent", "--no-progress-meter", "--fail", "--http1.1",
                            "--parallel", "--parallel-max", "20", "--output-dir", to,
                            "--remote-name-all", server.url + "many/[0-199].bin"],
                           check=True, timeout=PATIENCE_S)
            for name, digest in self.digests.items():
                with open(os.path.join(to, name), "rb") as file:
                    self.assertEqual(hashlib.sha256(file.read()).hexdigest(), digest, name)

    def test_slow_clients_hold_up_nobody(self):
        with Serve(self.folder) as server:
            slow = [server.connect() for _ in range(100)]
            for i, connection in enumerate(slow):
                connection.sendall(b"GET /big.bin HTTP/1.1\r\nHost: h\r\n"[:5 + i % 20])
            unread = [server.connect() for _ in range(20)]
            for connection in unread:
                connection.sendall(b"GET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n")
            for _ in range(20):
                with urllib.request.urlopen(server.url, timeout=PATIENCE_S) as answer:
                    self.assertEqual(answer.status, 200)
            # One of those that did not read does now, and nothing is missing.
            data = b""
            while len(data) < len(self.big) or data.find(b"\r\n\r\n") + 4 + len(self.big) > len(data):
                part = unread[0].recv(1 << 20)
                self.assertTrue(part)
                data += part
            self.assertEqual(data[data.find(b"\r\n\r\n") + 4:], self.big)
            for connection in slow + unread:
                connection.close()

    def test_a_half_closed_client_has_its_answers(self):
        with Serve(self.folder) as server, server.connect() as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /none HTTP/1.1\r\nHost: h\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            data = read_all(connection)
            self.assertLess(data.find(b"HTTP/1.1 200 OK"), data.find(b"HTTP/1.1 404 Not Found"))
            self.assertIn(b"<title>index</title>", data)

    def test_a_signal_lets_what_was_asked_be_answered(self):
        with Serve(self.folder, "--drain", "60") as server:
            with server.connect() as busy, server.connect() as idle:
                idle.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
                self.assertIn(b"200 OK", idle.recv(1000))
                busy.sendall(b"GET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n")
                head = busy.recv(1000)
                self.assertIn(b"200 OK", head)
                server.process.send_signal(signal.SIGTERM)
                self.assertNotIn(b"HTTP", read_all(idle)[:4])
                data = head + read_all(busy)
                self.assertEqual(data[data.find(b"\r\n\r\n") + 4:], self.big)
                self.assertEqual(server.process.wait(PATIENCE_S), 0)

    def test_folders_are_listed_unless_they_are_not_to_be(self):
        with Serve(self.folder) as server:
            with urllib.request.urlopen(server.url + "many/", timeout=PATIENCE_S) as answer:
                page = answer.read().decode()
            self.assertEqual(page.count('.bin">'), len(self.digests))
            wanted = urllib.request.Request(server.url + "many/", headers={"Accept": "application/json"})
            with urllib.request.urlopen(wanted, timeout=PATIENCE_S) as answer:
                listing = json.load(answer)
            self.assertEqual([entry["name"] for entry in listing["entries"]], sorted(self.digests))
            with self.assertRaises(urllib.error.HTTPError) as raised:
                urllib.request.urlopen(server.url + ".hidden", timeout=PATIENCE_S)
            self.assertEqual(raised.exception.code, 404)
            raised.exception.close()
        with Serve(self.folder, "--no-list", "--hidden") as server:
            with self.assertRaises(urllib.error.HTTPError) as raised:
                urllib.request.urlopen(server.url + "many/", timeout=PATIENCE_S)
            self.assertEqual(raised.exception.code, 404)
            raised.exception.close()
            with urllib.request.urlopen(server.url + ".hidden", timeout=PATIENCE_S) as answer:
                self.assertEqual(answer.read(), b"hidden")

    def test_text_is_compressed_unless_it_is_not_to_be(self):
        text = b"the same line, many times\n" * 400
        wanted = {"Accept-Encoding": "gzip"}
        for options, packed in (((), True), (("--no-gzip",), False)):
            with Serve(self.folder, *options) as server:
                request = urllib.request.Request(server.url + "text.txt", headers=wanted)
                with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                    body = answer.read()
                    self.assertEqual(answer.headers["Content-Encoding"], "gzip" if packed else None)
                self.assertEqual(gzip.decompress(body) if packed else body, text)

    def test_what_cannot_be_served_is_told(self):
        self.assertEqual(run("serve", "a", "b").status, 2)
        ran = run("serve", "--listen", "127.0.0.1:0", os.path.join(self.folder, "none"))
        self.assertEqual(ran.status, 1)
        self.assertIn(b"No such file", ran.err)
        ran = run("serve", "--listen", "127.0.0.1:0", os.path.join(self.folder, "big.bin"))
        self.assertEqual(ran.status, 1)
        with Serve(self.folder) as server:
            ran = run("serve", "--listen", "%s:%d" % server.address, self.folder)
            self.assertEqual(ran.status, 1)
            self.assertIn(b"in use", ran.err)


if __name__ == "__main__":
    unittest.main()
