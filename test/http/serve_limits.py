#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""weft serve with limits by address, trusted proxies and an access log."""
import json
import os
import tempfile
import unittest
import urllib.error
import urllib.request

from serve_files import Serve
from weft import PATIENCE_S, run


def ask(url, client):
    request = urllib.request.Request(url, headers={"X-Forwarded-For": client})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


class ServeLimits(unittest.TestCase):
    def test_each_client_behind_a_proxy_has_its_rate_and_its_lines(self):
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as logs:
            log = os.path.join(logs, "access.log")
            with open(os.path.join(folder, "index.html"), "w") as file:
                file.write("here")
            with Serve(folder, "--access-log", log, "--log-format", "json", "--trust", "127.0.0.1",
                       "--trust", "10.0.0.0/8", "--rate", "1", "--burst", "2") as server:
                statuses = [ask(server.url, "1.2.3.4") for _ in range(50)]
                self.assertEqual(statuses[:2], [200, 200])
                self.assertIn(429, statuses)
                self.assertEqual(ask(server.url, "5.6.7.8, 10.1.1.1"), 200)
                self.assertEqual(server.stop(), 0)
            with open(log) as file:
                lines = [json.loads(line) for line in file]
            self.assertEqual([line["status"] for line in lines], statuses + [200])
            self.assertEqual({line["client"] for line in lines}, {"1.2.3.4", "5.6.7.8"})

    def test_what_cannot_be_is_refused(self):
        self.assertEqual(run("serve", "--trust", "10.0.0.1/8", ".").status, 1)
        self.assertEqual(run("serve", "--access-log", "/no/such/folder/log", ".").status, 1)
        self.assertEqual(run("serve", "--burst", "3", ".").status, 2)
        self.assertEqual(run("serve", "--rate", "0", ".").status, 2)


if __name__ == "__main__":
    unittest.main()
