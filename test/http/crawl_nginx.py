# SPDX-License-Identifier: MIT
"""The pages that `weft site --write` leaves, served by nginx, give the same records as the site's own."""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

import weft

NGINX = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
POSTS = ("--select", "href=a.post-item-title@href", "--select", "title=a.post-item-title")
PAGES = int(os.environ.get("WEFT_CRAWL_PAGES", 300 if weft.SANITIZED else 2000))
TRIES = 5  # another program may take the port between its choice and nginx's start


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Nginx:
    def __init__(self, kind, pages):
        self.folder = tempfile.TemporaryDirectory()
        for _ in range(TRIES):
            self.port = free_port()
            folder = os.path.join(self.folder.name, str(self.port))
            wrote = weft.run("site", "--kind", kind, "--pages", pages, "--port", self.port,
                             "--write", folder)
            if wrote.status:
                raise AssertionError(wrote.err)
            self.process = subprocess.Popen(
                [NGINX, "-e", "stderr", "-p", folder, "-c", os.path.join(folder, "nginx.conf")],
                stdin=subprocess.DEVNULL)
            if self.comes_up():
                return
            self.process.kill()
            self.process.wait()
        raise AssertionError("nginx does not start")

    def comes_up(self):
        end = time.monotonic() + weft.PATIENCE_S / 5
        while time.monotonic() < end and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return True
            time.sleep(0.01)
        return False

    def __enter__(self):
        return f"http://127.0.0.1:{self.port}/"

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(weft.PATIENCE_S)
        self.folder.cleanup()


def crawl(test, url, engine):
    ran = weft.run("crawl", "-q", "--engine", engine, *POSTS, url)
    test.assertEqual((ran.status, ran.err), (0, b""))
    pages = {}
    for record in weft.read_records(ran.out):
        test.assertNotIn("error", record)
        path = "/" + record["url"].removeprefix(url)
        location = urllib.parse.urldefrag(record.get("location", ""))[0].replace(url, "/")
        test.assertNotIn(path, pages)
        # The texts beside an error or a redirect are each server's own, but for their titles.
        pages[path] = (record["status"], record["title"], record["links"], location,
                       record["fields"])
    return pages


class SamePages(unittest.TestCase):
    def check(self, kind, pages, engines):
        with weft.Site(kind, pages) as site:
            own = crawl(self, site.url, "fibers")
        with Nginx(kind, pages) as url:
            for engine in engines:
                self.assertEqual(crawl(self, url, engine), own)

    def test_blog(self):
        self.check("blog", 50, ("single", "threads", "fibers"))

    def test_deep(self):
        self.check("deep", PAGES, ("threads", "fibers"))


if __name__ == "__main__":
    if not NGINX:
        print("skipped: there is no nginx (tools/deps test installs it)")
        sys.exit(77)
    weft.main()
