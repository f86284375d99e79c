# SPDX-License-Identifier: MIT
"""A crawl that is stopped half-way, by the site's death or by a signal: what is in the file is right."""
import json
import os
import re
import signal
import subprocess
import tempfile
import time
import unittest

import weft


def start(*args, stdout):
    return subprocess.Popen([weft.PROGRAM, "crawl", *args], stdin=subprocess.DEVNULL,
                            stdout=stdout, stderr=subprocess.PIPE)


def pending_signals(pid):
    with open(f"/proc/{pid}/status") as file:
        words = re.findall(r"(?:SigPnd|ShdPnd):\s*(\w+)", file.read())
    return int(words[0], 16) | int(words[1], 16)


class SiteDies(unittest.TestCase):
    def check_records(self, records, base):
        """Every URL that a fetched page names has one record, an answer or an error."""
        known = {base}
        done = {}
        for record in records:
            self.assertNotIn(record["url"], done)
            done[record["url"]] = record
            refs = record["fields"]["refs"] if record["status"] == 200 else []
            if "location" in record:
                refs = refs + [record["location"]]
            known |= {weft.canonical(record["url"], ref) for ref in refs}
        known = {url for url in known if url and url.startswith(base)}
        self.assertEqual(known, set(done))
        return [record for record in records if "error" in record]

    def test_each_url_has_a_record_or_an_error_record(self):
        def check(engine):
            with weft.Site("deep", 2000, delay=20) as site:
                crawl = start("-q", "-c", "8", "--engine", engine, "--select", "refs=a[href]@href", site.url,
                              stdout=subprocess.PIPE)
                head = b"".join(crawl.stdout.readline() for _ in range(40))
                site.kill()
                tail = crawl.stdout.read()
                _, err = crawl.communicate(timeout=weft.PATIENCE_S)
                self.assertEqual((crawl.returncode, err), (0, b""))
                records = weft.read_records(head + tail)
                errors = self.check_records(records, site.url)
                self.assertGreater(len(errors), 10)
                self.assertLess(len(records) - len(errors), 2000)
                for record in errors:
                    # Cut off in the middle, or too late to be connected: nothing else.
                    self.assertRegex(record["error"], "^GET " + re.escape(record["url"]) + ": (?:"
                                     "Failed to connect to |Recv failure: Connection reset by peer|"
                                     "Send failure: |Empty reply from server|"
                                     "transfer closed with [0-9]+ bytes remaining to read)")
                self.assertTrue(all(record["status"] for record in records
                                    if "error" not in record))
        weft.together(check, *weft.ENGINES)


class Interrupted(unittest.TestCase):
    def test_what_is_reported_as_done_is_in_the_file(self):
        def check(case):
            engine, number, status = case
            with weft.Site("deep", 2000, delay=20) as site, \
                    tempfile.TemporaryDirectory() as folder:
                path, figures = os.path.join(folder, "out"), os.path.join(folder, "figures")
                crawl = start("-o", path, "--stats-json", figures, "--engine", engine, "-c",
                              "8", site.url, stdout=subprocess.DEVNULL)
                site.wait_for_requests(40)
                asked = time.monotonic()
                crawl.send_signal(number)
                _, err = crawl.communicate(timeout=weft.PATIENCE_S)
                seconds = time.monotonic() - asked
                self.assertEqual(crawl.returncode, status, err)
                self.assertLess(seconds, 5)
                with open(path, "rb") as file:
                    records = weft.read_records(file.read())
                with open(figures) as file:
                    told = json.load(file)
                self.assertGreater(len(records), 20)
                self.assertLess(len(records), 2000)
                self.assertEqual(told["pages"], len(records))
                self.assertEqual(len({record["url"] for record in records}), len(records))
                self.assertFalse([record for record in records if "error" in record])
                last = err.decode().splitlines()[-1]
                self.assertRegex(last, rf"^{len(records)} pages  \d+/s  .*  0 in flight  ")
        weft.together(check, *((engine, *how) for engine in weft.ENGINES for how in (
            (signal.SIGINT, 130), (signal.SIGTERM, 143))))

    def test_one_that_waits_for_a_page_that_never_comes_ends_at_once(self):
        for engine in weft.ENGINES:
            with self.subTest(engine), weft.Site("hostile") as site:
                crawl = start("-q", "--engine", engine, site.url + "hang", stdout=subprocess.PIPE)
                site.wait_for_requests(1)
                crawl.send_signal(signal.SIGINT)
                asked = time.monotonic()
                out, err = crawl.communicate(timeout=weft.PATIENCE_S)
                self.assertEqual((crawl.returncode, out, err), (130, b"", b""))
                self.assertLess(time.monotonic() - asked, 5)

    def test_the_second_signal_is_hard(self):
        # Nobody reads the output: the crawl cannot end before it is written.
        with weft.Site("deep", 2000) as site:
            reader, writer = os.pipe()
            crawl = start("-q", site.url, stdout=writer)
            site.wait_for_requests(800)  # more output than a pipe holds
            crawl.send_signal(signal.SIGINT)
            end = time.monotonic() + weft.PATIENCE_S
            while pending_signals(crawl.pid) and time.monotonic() < end:
                time.sleep(0.005)
            self.assertIsNone(crawl.poll())
            # TSan holds signals back, and may take two for one: there it may need a third.
            for _ in range(4 if weft.SANITIZED else 1):
                crawl.send_signal(signal.SIGINT)
                try:
                    crawl.wait(5)
                    break
                except subprocess.TimeoutExpired:
                    pass
            self.assertEqual(crawl.poll(), 130)
            crawl.stderr.close()
            os.close(reader)
            os.close(writer)

    def test_ignored_from_the_start_stays_ignored(self):
        with weft.Site("deep", 100, delay=5) as site:
            crawl = subprocess.Popen(
                [weft.PROGRAM, "crawl", "-q", "-c", "4", site.url], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
            site.wait_for_requests(10)
            crawl.send_signal(signal.SIGINT)
            out, _ = crawl.communicate(timeout=weft.PATIENCE_S)
            self.assertEqual(crawl.returncode, 0)
            self.assertEqual(len(weft.read_records(out)), len(site.manifest()["urls"]))


if __name__ == "__main__":
    weft.main()
