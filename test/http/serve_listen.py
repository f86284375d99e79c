#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weft serve on a socket that this program keeps: by number, and as systemd passes it."""
import os
import signal
import socket
import subprocess
import tempfile
import unittest
import urllib.request

from weft import PATIENCE_S, PROGRAM, run

# The shell's process becomes weft's, so it can name itself; 3 is where the first one is expected.
PASSED = 'exec 3<&"$1"; shift; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'


class ServeListen(unittest.TestCase):
    def serves(self, listening, *command):
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              pass_fds=[listening.fileno()]) as process:
            url = process.stdout.readline().decode().strip()
            self.assertEqual(url, "http://127.0.0.1:%d/" % listening.getsockname()[1])
            with urllib.request.urlopen(url + "a.txt", timeout=PATIENCE_S) as answer:
                self.assertEqual(answer.read(), b"here")
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(PATIENCE_S), 0)

    def test_a_socket_kept_open_serves_one_server_after_another(self):
        with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as kept:
            with open(os.path.join(folder, "a.txt"), "w") as file:
                file.write("here")
            number = str(kept.fileno())
            self.serves(kept, PROGRAM, "serve", "--listen", "fd:" + number, folder)
            self.serves(kept, "bash", "-c", PASSED, "bash", number, PROGRAM, "serve", folder)
            # A connection that nobody accepted waits for the next server.
            with socket.create_connection(kept.getsockname(), PATIENCE_S) as waiting:
                waiting.sendall(b"GET /a.txt HTTP/1.0\r\n\r\n")
                self.serves(kept, PROGRAM, "serve", "--listen", "fd:" + number, folder)
                self.assertTrue(waiting.makefile("rb").read().endswith(b"here"))

    def test_what_is_no_such_socket_is_refused(self):
        for listen in ("fd:", "fd:x", "fd:-1", "fd:99999999999", "fd:200", "fd:0"):
            self.assertEqual(run("serve", "--listen", listen, ".").status, 1, listen)


if __name__ == "__main__":
    unittest.main()
