#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weft serve over TLS with real clients: curl, openssl s_client, Python; certificates read again."""
import concurrent.futures
import hashlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import unittest
import urllib.request

from weft import PATIENCE_S, PROGRAM, run

CERTIFICATE = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
               "-nodes", "-days", "2", "-subj", "/CN=localhost",
               "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]


def make_certificate(chain, key):
    subprocess.run([*CERTIFICATE, "-keyout", key, "-out", chain], check=True, capture_output=True,
                   timeout=PATIENCE_S)


def read_all(connection):
    """All that comes until the end, which has to be announced."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


class Serve:
    """A running `weft serve` that speaks TLS; as a context, stopped at its end."""

    def __init__(self, folder, chain, key):
        self.process = subprocess.Popen(
            [PROGRAM, "serve", "--listen", "127.0.0.1:0", "--tls-cert", chain, "--tls-key", key,
             "--drain", "60", folder], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.url = self.process.stdout.readline().decode().strip()
        if not self.url.startswith("https://"):
            self.process.wait()
            raise AssertionError("it did not start: " + self.process.stderr.read().decode())
        host, port = self.url[len("https://"):-1].rsplit(":", 1)
        self.address = host, int(port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.returncode is None:
            self.stop()
        self.process.stdout.close()
        self.process.stderr.close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_S)

    def connect(self, context):
        plain = socket.create_connection(self.address, timeout=PATIENCE_S)
        return context.wrap_socket(plain, server_hostname="localhost",
                                   suppress_ragged_eofs=False)


class ServeTls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not shutil.which("openssl"):
            raise unittest.SkipTest("there is no openssl")
        cls.folder = tempfile.mkdtemp()
        cls.site = os.path.join(cls.folder, "site")
        os.mkdir(cls.site)
        cls.chain, cls.key = (os.path.join(cls.folder, name) for name in ("c.pem", "c.key"))
        make_certificate(cls.chain, cls.key)
        cls.digests = {}
        for i in range(200):
            data = hashlib.sha256(b"%d" % i).digest() * (1 + i * 7)
            cls.digests[f"{i}.bin"] = hashlib.sha256(data).hexdigest()
            with open(os.path.join(cls.site, f"{i}.bin"), "wb") as file:
                file.write(data)
        cls.big = hashlib.sha256(b"big").digest() * 320000
        with open(os.path.join(cls.site, "big.bin"), "wb") as file:
            file.write(cls.big)
        with open(os.path.join(cls.site, "index.html"), "w") as file:
            file.write("<title>index</title>")
        cls.trusting = ssl.create_default_context(cafile=cls.chain)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def serve(self):
        return Serve(self.site, self.chain, self.key)

    def curl(self, server, *args, **more):
        if not shutil.which("curl"):
            self.skipTest("there is no curl")
        return subprocess.run(["curl", "--silent", "--show-error", "--cacert", self.chain, *args],
                              capture_output=True, timeout=PATIENCE_S, **more)

    def test_a_library_reads_pages_and_parts(self):
        with self.serve() as server:
            with urllib.request.urlopen(server.url, timeout=PATIENCE_S, context=self.trusting) as answer:
                self.assertEqual(answer.read(), b"<title>index</title>")
            part = urllib.request.Request(server.url + "big.bin", headers={"Range": "bytes=1000-1999"})
            with urllib.request.urlopen(part, timeout=PATIENCE_S, context=self.trusting) as answer:
                self.assertEqual(answer.status, 206)
                self.assertEqual(answer.read(), self.big[1000:2000])
            self.assertEqual(server.stop(), 0)

    def test_curl_fetches_a_large_file_its_head_and_over_each_version(self):
        with self.serve() as server:
            for version in ("1.2", "1.3"):
                ran = self.curl(server, "--fail", "--tlsv" + version, "--tls-max", version,
                                server.url + "big.bin")
                self.assertEqual(ran.returncode, 0, ran.stderr)
                self.assertEqual(ran.stdout, self.big)
            ran = self.curl(server, "--fail", "--head", server.url + "big.bin")
            self.assertIn(b"Content-Length: %d\r\n" % len(self.big), ran.stdout)
            # What curl offers is h2 and http/1.1; both answers come on one connection.
            ran = self.curl(server, "--verbose", server.url, server.url)
            self.assertIn(b"ALPN: server accepted http/1.1", ran.stderr)
            self.assertIn(b"Re-using existing connection", ran.stderr)
            self.assertEqual(ran.stdout, b"<title>index</title>" * 2)

    def test_curl_fetches_many_files_at_once(self):
        with self.serve() as server, tempfile.TemporaryDirectory() as to:
            ran = self.curl(server, "--no-progress-meter", "--fail", "--parallel", "--parallel-max",
                            "40", "--output-dir", to, "--remote-name-all",
                            server.url + "[0-199].bin")
            self.assertEqual(ran.returncode, 0, ran.stderr)
            for name, digest in self.digests.items():
                with open(os.path.join(to, name), "rb") as file:
                    self.assertEqual(hashlib.sha256(file.read()).hexdigest(), digest, name)

    def test_curl_is_told_when_it_speaks_plain_http(self):
        with self.serve() as server:
            ran = self.curl(server, "--include", server.url.replace("https", "http"))
            self.assertIn(b"HTTP/1.1 400 Bad Request\r\n", ran.stdout)
            self.assertIn(b"ask with https://", ran.stdout)

    def test_openssl_has_its_end_announced(self):
        with self.serve() as server:
            client = ["openssl", "s_client", "-connect", "%s:%d" % server.address, "-CAfile",
                      self.chain, "-verify_return_error", "-servername", "localhost", "-alpn",
                      "http/1.1", "-ign_eof"]
            ran = subprocess.run(client, input=b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                                 capture_output=True, timeout=PATIENCE_S)
            self.assertEqual(ran.returncode, 0, ran.stderr)
            self.assertIn(b"<title>index</title>", ran.stdout)
            self.assertIn(b"ALPN protocol: http/1.1", ran.stdout)
            self.assertTrue(ran.stdout.rstrip().endswith(b"closed"), ran.stdout[-100:])
            ran = subprocess.run([*client[:-2], "h2"], stdin=subprocess.DEVNULL, capture_output=True,
                                 timeout=PATIENCE_S)
            self.assertIn(b"no application protocol", ran.stderr)
            ran = subprocess.run(client, input=b"GET / HTTP/1.1\n\n", capture_output=True, timeout=PATIENCE_S)
            self.assertIn(b"HTTP/1.1 400", ran.stdout)

    def test_two_hundred_clients_at_once(self):
        with self.serve() as server:
            def ask(i):
                with self.connect_patiently(server) as connection:
                    connection.sendall(b"GET /%d.bin HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" % i)
                    data = read_all(connection)
                    return hashlib.sha256(data[data.find(b"\r\n\r\n") + 4:]).hexdigest()
            with concurrent.futures.ThreadPoolExecutor(200) as pool:
                for i, digest in enumerate(pool.map(ask, range(200))):
                    self.assertEqual(digest, self.digests[f"{i}.bin"], i)

    def connect_patiently(self, server):
        connection = server.connect(self.trusting)
        connection.settimeout(PATIENCE_S)
        return connection

    def test_a_signal_lets_what_was_asked_be_answered(self):
        with self.serve() as server:
            with server.connect(self.trusting) as busy, server.connect(self.trusting) as idle, \
                    socket.create_connection(server.address, timeout=PATIENCE_S) as silent:
                idle.sendall(b"GET /0.bin HTTP/1.1\r\nHost: h\r\n\r\n")
                self.assertIn(b"200 OK", idle.recv(1000))
                busy.sendall(b"GET /big.bin HTTP/1.1\r\nHost: h\r\n\r\n")
                data = busy.recv(1000)
                self.assertIn(b"200 OK", data)
                server.process.send_signal(signal.SIGTERM)
                read_all(idle)
                self.assertEqual(silent.recv(100), b"")
                data += read_all(busy)
                self.assertEqual(data[data.find(b"\r\n\r\n") + 4:], self.big)
                self.assertEqual(server.process.wait(PATIENCE_S), 0)

    def test_a_hangup_brings_a_new_certificate(self):
        chain, key = (os.path.join(self.folder, name) for name in ("n.pem", "n.key"))
        shutil.copy(self.chain, chain)
        shutil.copy(self.key, key)
        with Serve(self.site, chain, key) as server, server.connect(self.trusting) as before:
            with open(key, "w") as file:
                file.write("no key\n")
            server.process.send_signal(signal.SIGHUP)
            line = server.process.stderr.readline()
            self.assertIn(b"the certificate stays as it was: ", line)
            self.assertIn(b"n.key: there is no private key", line)
            server.connect(self.trusting).close()
            make_certificate(chain, key)
            server.process.send_signal(signal.SIGHUP)
            self.assertIn(b"read again", server.process.stderr.readline())
            with self.assertRaises(ssl.SSLCertVerificationError):
                server.connect(self.trusting)
            server.connect(ssl.create_default_context(cafile=chain)).close()
            before.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            self.assertIn(b"200 OK", before.recv(1000))

    def test_what_cannot_be_served_is_told(self):
        options = ["serve", "--listen", "127.0.0.1:0"]
        self.assertEqual(run(*options, "--tls-key", self.key, self.site).status, 2)
        for chain, key, said in ((self.key, self.key, b"c.key: there is no certificate"),
                                 (self.chain, "/nowhere/k", b"/nowhere/k: No such file"),
                                 (self.chain, self.chain, b"c.pem: there is no private key")):
            ran = run(*options, "--tls-cert", chain, "--tls-key", key, self.site)
            self.assertEqual(ran.status, 1)
            self.assertIn(said, ran.err)


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup the server would ignore it too
    unittest.main()
