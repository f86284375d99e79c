# SPDX-License-Identifier: MIT
"""weft get: lines, order, marks, files and exit statuses, on each engine."""
import contextlib
import http.server
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import unittest

import weft

SIZES = {"www.baidu.com": 2443, "packages.example": 18818, "www.sina.com.cn": 572160,
         "www.163.com": 695359, "news.qq.com": 6216, "www.ifeng.com": 251170, "www.ce.cn": 107852,
         "news.baidu.com": 73977, "www.people.com.cn": 152458, "news.163.com": 208375,
         "news.sohu.com": 175232}


def twelve(site):
    """The list of the downloader text: eleven sites, one of them twice."""
    return [f"{site.url}{host}/" for host in [*SIZES, "news.163.com"]]


def size_of(url):
    return SIZES[url.rstrip("/").rsplit("/", 1)[1]]


class Growing(http.server.BaseHTTPRequestHandler):
    """Each answer is a byte longer than the one before."""
    answers = 0

    def do_GET(self):
        Growing.answers += 1
        self.send_response(200)
        self.send_header("Content-Length", str(Growing.answers))
        self.end_headers()
        self.wfile.write(b"x" * Growing.answers)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def growing_page():
    with http.server.HTTPServer(("127.0.0.1", 0), Growing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


class Get(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "x")

    def get(self, *args, **more):
        ran = weft.run("get", *args, **more)
        self.lines = ran.out.decode().splitlines()
        return ran

    def check_last(self, count):
        self.assertRegex(self.lines.pop(), rf"^Download {count} sites in \d+\.\d+ seconds$")

    def test_lines_in_the_order_of_the_list_one_for_each_time_a_url_is_given(self):
        with weft.Site("sites") as site:
            urls = twelve(site)
            for engine in weft.ENGINES:
                ran = self.get("--engine", engine, "-j", "4", *urls)
                self.assertEqual((ran.status, ran.err), (0, b""))
                self.check_last(12)
                self.assertEqual(self.lines, [f"Read {size_of(url)} from {url}" for url in urls])
            self.assertEqual(site.stats()["requests"], len(weft.ENGINES) * 12)

    def test_unique_downloads_and_counts_once(self):
        with weft.Site("sites") as site:
            urls = twelve(site)
            self.assertEqual(self.get("--unique", "-j", "4", *urls).status, 0)
            self.check_last(11)
            self.assertEqual(self.lines, [f"Read {size_of(url)} from {url}" for url in urls[:11]])

    def test_as_completed_reports_what_is_there_first(self):
        with weft.Site("hostile") as site:
            hang, good = site.url + "hang", site.url + "good"
            lines = [f"Read 0 from {hang}  ! GET {hang}: the deadline passed", f"Read 4096 from {good}"]

            def check(case):
                engine, *order = case
                ran = weft.run("get", "--engine", engine, *order, "--timeout", weft.TIMEOUT_S, hang, good)
                self.assertEqual(ran.status, 1)
                *told, last = ran.out.decode().splitlines()
                self.assertEqual(told, lines[::-1] if order else lines)
                self.assertRegex(last, r"^Download 2 sites in \d+\.\d+ seconds$")
            weft.together(check, *((engine, *order) for engine in weft.ENGINES if engine != "single"
                                   for order in ((), ("--as-completed",))))

    def test_a_size_that_differs_from_an_earlier_answer_is_marked(self):
        # Each answer takes 100 ms, so five workers have five requests in flight.
        with weft.Site("sites", delay=100) as site:
            urls = twelve(site)
            self.assertEqual(self.get("-j", "4", "--sizes", self.path, *urls).status, 0)
            with open(self.path) as file:
                kept = dict(reversed(line.split()) for line in file)
            self.assertEqual(kept, {url: str(size_of(url)) for url in urls})
            ran = self.get("-j", "5", "--sizes", self.path, *urls)
            self.assertEqual((ran.status, ran.err), (1, b""))
            marked = [line for line in self.lines if "!" in line]
            self.assertEqual(marked, [
                f"Read 149 from {site.url}news.baidu.com/  ! 73977 bytes before"])
            # Without an earlier answer nobody can tell.
            self.assertEqual(self.get("-j", "5", *urls).status, 0)

    def test_a_size_that_differs_within_one_run_is_marked(self):
        with growing_page() as url:
            ran = self.get("-j", "1", url, url + "other", url)
            self.assertEqual((ran.status, ran.err), (1, b""))
            self.check_last(3)
            self.assertEqual(self.lines, [f"Read 1 from {url}", f"Read 2 from {url}other",
                                          f"Read 3 from {url}  ! 1 bytes before"])

    def test_statuses_and_short_bodies_are_marked(self):
        with weft.Site("hostile") as site:
            for engine in weft.ENGINES:
                ran = self.get("--engine", engine, site.url + "missing", site.url + "early",
                               site.url + "good", site.url + "reset", site.url + "garbage",
                               site.url + "loop")
                self.assertEqual((ran.status, ran.err), (1, b""))
                self.check_last(6)
                url = site.url
                self.assertRegex(self.lines[0], rf"^Read \d+ from {url}missing  ! status 404$")
                self.assertEqual(self.lines[1:5], [
                    f"Read 2048 from {url}early  ! GET {url}early: transfer closed with 2048 bytes "
                    "remaining to read",
                    f"Read 4096 from {url}good",
                    f"Read 100 from {url}reset  ! GET {url}reset: Recv failure: Connection reset by "
                    "peer",
                    f"Read 0 from {url}garbage  ! GET {url}garbage: Received HTTP/0.9 when not "
                    "allowed"])
                self.assertRegex(self.lines[5],
                                 rf"^Read \d+ from {url}loop  ! {url}loop: more than 20 redirects$")

    def test_redirects_are_followed(self):
        with weft.Site("deep", 200) as site:
            ran = self.get(site.url + "go/0")
            self.assertEqual(ran.status, 0)
            self.assertEqual(self.lines[0], f"Read 10240 from {site.url}go/0")

    def test_urls_from_a_file_and_from_standard_input(self):
        with weft.Site("sites") as site:
            urls = twelve(site)
            with open(self.path, "w") as file:
                file.write("# the list\n\n" + "".join(f"  {url}\t\r\n" for url in urls[:3]))
                file.write(urls[3])  # no newline at the end
            wanted = [f"Read {size_of(url)} from {url}" for url in urls[:4]]
            self.assertEqual(self.get("-i", self.path).status, 0)
            self.assertEqual(self.lines[:4], wanted)
            with open(self.path) as file:
                self.assertEqual(self.get("-i", "-", stdin=file).status, 0)
            self.assertEqual(self.lines[:4], wanted)
            self.assertEqual(self.get(urls[4], "-i", self.path).status, 0)
            self.check_last(5)
            self.assertEqual(len(self.lines), 5)

    def test_files_are_whole(self):
        with weft.Site("sites") as site:
            urls, folder = twelve(site), os.path.join(self.folder.name, "pages")
            self.assertEqual(self.get("-j", "4", "-o", folder, *urls).status, 0)
            files = {name: os.path.getsize(os.path.join(folder, name))
                     for name in os.listdir(folder)}
            host = re.sub("[^a-z0-9.]", "_", site.url.removeprefix("http://").rstrip("/"))
            wanted = {f"{host}_{name}": size for name, size in SIZES.items()}
            wanted[f"{host}_news.163.com.2"] = SIZES["news.163.com"]
            self.assertEqual(files, wanted)

    def test_a_download_that_failed_leaves_no_file(self):
        with weft.Site("hostile") as site:
            folder = os.path.join(self.folder.name, "pages")
            self.assertEqual(self.get("-o", folder, site.url + "early", site.url + "good").status, 1)
            (name,) = os.listdir(folder)
            self.assertTrue(name.endswith("_good"))

    def test_wrong_usage(self):
        for args, why in (([], "no URL"),
                          (["ftp://h/"], "URL 'ftp://h/': its scheme is neither http nor https "
                                         "(at byte 0)"),
                          (["-i", "/no/such"], "cannot read /no/such: No such file or directory"),
                          (["--job", "3"], "unknown option --job (did you mean --jobs?)")):
            ran = self.get(*args)
            self.assertEqual((ran.status, ran.out, ran.lines),
                             (2, b"", [f"weft get: {why}; see weft get --help"]))
        with open(self.path, "w") as file:
            file.write("http://127.0.0.1:1/\nnonsense\n")
        ran = self.get("-i", self.path)
        self.assertEqual((ran.status, ran.out, len(ran.lines)), (2, b"", 1))
        ran = self.get("-o", self.path, "http://127.0.0.1:1/")
        self.assertEqual((ran.status, ran.out, len(ran.lines)), (1, b"", 1), ran.err)

    def test_interrupted(self):
        for engine in weft.ENGINES:
            with self.subTest(engine), weft.Site("hostile") as site:
                child = subprocess.Popen(
                    [weft.PROGRAM, "get", "--engine", engine, site.url + "good", site.url + "hang"],
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                self.assertEqual(child.stdout.readline().decode(),
                                 f"Read 4096 from {site.url}good\n")
                site.wait_for_requests(2)
                asked = time.monotonic()
                child.send_signal(signal.SIGINT)
                self.assertRegex(child.stdout.read().decode(), r"^Download 1 sites in \S+ seconds$")
                _, err = child.communicate(timeout=weft.PATIENCE_S)
                self.assertEqual((child.returncode, err), (130, b""))
                self.assertLess(time.monotonic() - asked, 5)

    def test_standard_output_that_cannot_be_written(self):
        with weft.Site("sites") as site, open("/dev/full", "w") as full:
            ran = self.get(site.url, stdout=full)
            self.assertEqual((ran.status, ran.lines), (
                1, ["weft get: cannot write standard output: No space left on device"]))


if __name__ == "__main__":
    weft.main()
