# SPDX-License-Identifier: MIT
"""Wrong input of weft crawl, and servers that mean ill: one clear line, the right status, and no
output file where nothing was crawled."""
import os
import resource
import signal
import socket
import subprocess
import tempfile
import unittest

import weft


def refused_port():
    """A port nobody listens on: bound, but not listening, for as long as the socket lives."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    return holder, holder.getsockname()[1]


class Usage(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.out = os.path.join(self.folder.name, "out.jsonl")

    def refuse(self, status, lines, *args):
        """Runs the crawl with an output file, which must not come to be."""
        ran = weft.run("crawl", "-o", self.out, *args)
        self.assertEqual(ran.status, status, ran.err)
        self.assertEqual(ran.lines, lines)
        self.assertEqual(ran.out, b"")
        self.assertEqual(os.listdir(self.folder.name), [])

    def test_no_url(self):
        self.refuse(2, ["weft crawl: missing URL...; see weft crawl --help"])

    def test_urls_that_do_not_parse(self):
        for url, why in (("http://", "the host is empty (at byte 7)"),
                         ("http:///", "the host is empty (at byte 8)"),
                         ("ftp://h/", "its scheme is neither http nor https (at byte 0)")):
            self.refuse(2, [f"weft crawl: URL '{url}': {why}; see weft crawl --help"],
                        "http://127.0.0.1:1/", url)
        for url in ("http://a b/", "http://[::1/", "http://h:99999/", "example.org", ""):
            ran = weft.run("crawl", "-o", self.out, url)
            self.assertEqual((ran.status, len(ran.lines)), (2, 1), (url, ran.err))
            self.assertEqual(os.listdir(self.folder.name), [])

    def test_unknown_options_and_values(self):
        for args, why in (
                (["--selct", "a=b"], "unknown option --selct (did you mean --select?)"),
                (["--nonsense"], "unknown option --nonsense"),
                (["-z"], "unknown option -z"),
                (["-c", "0"], "-c wants a number from 1 to 10000, not \"0\""),
                (["--depth=-1"], "--depth wants a number from 0 to 4294967294, not \"-1\""),
                (["--engine", "steam"],
                 "--engine wants one of single, threads, fibers, processes, not \"steam\""),
                (["--select"], "--select wants a value: NAME=CSS[@ATTR]")):
            self.refuse(2, [f"weft crawl: {why}; see weft crawl --help"], "http://127.0.0.1:1/",
                        *args)

    def test_a_selector_is_shown_with_a_caret_at_the_place(self):
        for text, at in (("x=a[", 4), ("x=a..b", 4), ("x=div >", 7), ("x=a:hover", 3), ("x=", 2),
                         ("a.b", 0), ("x=a@", None), ("x=é..b", 4)):
            ran = weft.run("crawl", "-o", self.out, "--select", text, "http://127.0.0.1:1/")
            self.assertEqual(ran.status, 2, (text, ran.err))
            message, shown, caret = ran.lines
            self.assertTrue(message.startswith("weft crawl: --select: "), message)
            self.assertEqual(shown, "  " + text)
            self.assertEqual(caret.strip(), "^")
            if at is not None:
                self.assertEqual(caret.index("^") - 2, at, (text, caret))
            self.assertEqual(os.listdir(self.folder.name), [])

    def test_a_name_given_twice(self):
        self.refuse(2, ["weft crawl: --select: the name x is given twice; see weft crawl --help"],
                    "--select", "x=a", "--select", "x=b", "http://127.0.0.1:1/")

    def test_help_is_no_error(self):
        ran = weft.run("crawl", "--help")
        self.assertEqual((ran.status, ran.err), (0, b""))
        self.assertIn(b"--select NAME=CSS[@ATTR]", ran.out)


class Output(unittest.TestCase):
    def test_a_directory_is_refused_before_anything_is_fetched(self):
        with weft.Site("blog", 2) as site, tempfile.TemporaryDirectory() as folder:
            for path in (folder, os.path.join(folder, "no", "such")):
                ran = weft.run("crawl", "-o", path, site.url)
                self.assertEqual((ran.status, len(ran.lines)), (1, 1), ran.err)
                self.assertTrue(ran.lines[0].startswith(f"weft crawl: cannot write {path}: "))
            self.assertEqual(site.stats()["requests"], 0)

    def test_a_full_device_ends_the_crawl(self):
        with weft.Site("deep", 2000, delay=5) as site:
            ran = weft.run("crawl", "-q", "-o", "/dev/full", site.url)
            self.assertEqual(ran.status, 1)
            self.assertEqual(ran.lines,
                             ["weft crawl: cannot write /dev/full: No space left on device"])
            self.assertLess(site.stats()["requests"], 2000)

    def test_a_file_that_grows_too_large_ends_with_a_whole_line(self):
        # A limit on the size of files is a full disk that a test can have.
        with weft.Site("deep", 2000) as site, tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "out.jsonl")

            def limit():
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (100_001, 100_001))
            ran = subprocess.run([weft.PROGRAM, "crawl", "-q", "-o", path, site.url],
                                 stdin=subprocess.DEVNULL, capture_output=True, preexec_fn=limit,
                                 timeout=weft.PATIENCE_S)
            self.assertEqual(ran.returncode, 1)
            self.assertEqual(ran.stderr.decode().splitlines(),
                             [f"weft crawl: cannot write {path}: File too large"])
            with open(path, "rb") as file:
                data = file.read()
            self.assertGreater(len(weft.read_records(data)), 100)
            self.assertLessEqual(len(data), 100_001)

    def test_standard_output_closed_or_gone(self):
        with weft.Site("deep", 2000) as site:
            closed = subprocess.run(["sh", "-c", 'exec "$0" "$@" >&-', weft.PROGRAM, "crawl", "-q",
                                     site.url], stdin=subprocess.DEVNULL, capture_output=True,
                                    timeout=weft.PATIENCE_S)
            self.assertEqual(closed.returncode, 1)
            self.assertEqual(closed.stderr.decode().splitlines(), [
                "weft crawl: cannot write standard output: Bad file descriptor"])
            reader, writer = os.pipe()
            os.close(reader)
            gone = weft.run("crawl", "-q", site.url, stdout=writer)
            os.close(writer)
            self.assertEqual((gone.status, gone.lines), (
                1, ["weft crawl: cannot write standard output: the reader has gone"]))

    def test_figures_that_cannot_be_written_are_an_error_of_their_own(self):
        with weft.Site("blog", 2) as site:
            ran = weft.run("crawl", "-q", "--stats-json", "/no/such/file", site.url)
            self.assertEqual((ran.status, ran.lines), (
                1, ["weft crawl: cannot write /no/such/file: No such file or directory"]))
            self.assertEqual(len(weft.read_records(ran.out)), 3)


class Servers(unittest.TestCase):
    def crawl_one(self, url, *options):
        ran = weft.run("crawl", "-q", *options, url)
        (record,) = weft.read_records(ran.out)
        return ran, record

    def test_nobody_there(self):
        holder, port = refused_port()
        with holder:
            for engine in weft.ENGINES:
                for url, why in ((f"http://127.0.0.1:{port}/", "Failed to connect"),
                                 ("http://name.invalid/", "Could not resolve host: name.invalid")):
                    ran, record = self.crawl_one(url, "--engine", engine)
                    self.assertEqual((ran.status, ran.lines),
                                     (1, ["weft crawl: nothing could be fetched"]))
                    self.assertIn(f"GET {url}: {why}", record["error"])
                    self.assertEqual((record["status"], record["bytes"]), (0, 0))

    def test_each_hostile_page_on_each_engine(self):
        errors = {
            "/": None, "/good": None, "/lie-short": None,
            "/hang": (0, "the deadline passed"),
            "/slow": (200, "the deadline passed"),
            "/early": (200, "transfer closed with 2048 bytes remaining to read"),
            "/lie-long": (200, "transfer closed with 1000 bytes remaining to read"),
            "/garbage": (0, "Received HTTP/0.9 when not allowed"),
            "/huge": (200, "the body is larger than 1048576 bytes"),
            "/huge-chunks": (200, "the body is larger than 1048576 bytes"),
            "/reset": (200, "Recv failure: Connection reset by peer"),
        }
        def check(engine):
            with weft.Site("hostile") as site:
                ran = weft.run("crawl", "-q", "--timeout", weft.TIMEOUT_S, "--max-body", "1", "--engine",
                               engine, site.url)
                self.assertEqual((ran.status, ran.err), (0, b""))
                records = weft.read_records(ran.out)
                pages = {"/" + record["url"].removeprefix(site.url): record for record in records}
                self.assertEqual(len(pages), len(records))
                if not weft.SANITIZED:
                    self.assertLess(ran.peak_bytes, 64 << 20)
                for path, error in errors.items():
                    record = pages.pop(path)
                    if error is None:
                        self.assertNotIn("error", record)
                        self.assertEqual(record["status"], 200)
                    else:
                        self.assertEqual(record["status"], error[0], path)
                        self.assertEqual(record["error"],
                                         f"GET {site.url}{path[1:]}: {error[1]}")
                # What is left goes round in circles: twenty redirects, and the last one's record.
                self.assertEqual(set(pages), {"/loop", *(f"/loop?n={n}" for n in range(1, 21))})
                last = pages.pop("/loop?n=20")
                self.assertEqual(last["error"],
                                 f"GET {last['url']}: more than 20 redirects in a row")
                self.assertTrue(all("error" not in record and record["status"] == 302
                                    for record in pages.values()))
        weft.together(check, *weft.ENGINES)

    def test_a_seed_that_redirects_to_another_host_is_not_followed_and_said(self):
        with weft.Site("deep", 2000) as site:
            away = next(page for page in site.manifest()["urls"]
                        if page.get("location", "").startswith("http://elsewhere"))
            url = site.url + away["path"].lstrip("/")
            ran = weft.run("crawl", url)
            (record,) = weft.read_records(ran.out)
            self.assertEqual((ran.status, record["location"]), (0, away["location"]))
            self.assertEqual(ran.lines[-1], "weft crawl: not followed: a redirect to another host, "
                             + away["location"])


if __name__ == "__main__":
    weft.main()
