# SPDX-License-Identifier: MIT
"""--engine processes: what a worker's death costs, and what the end of the command leaves behind."""
import os
import re
import signal
import subprocess
import time
import unittest
import uuid

import weft


class Family:
    """A command that runs with its worker processes. They are known by a variable of their
    environment; the one that others come from is the helper, and is let be."""

    def __init__(self, *args):
        self.mark = f"WEFT_TEST_FAMILY={uuid.uuid4()}"
        name, value = self.mark.split("=")
        self.process = subprocess.Popen([weft.PROGRAM, *map(str, args)], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        env={**os.environ, name: value})

    def members(self):
        """{pid: parent's pid} of all that carry the mark and are no zombies."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    if self.mark.encode() not in file.read().split(b"\0"):
                        continue
                with open(f"/proc/{pid}/stat") as file:
                    found[int(pid)] = int(file.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                pass  # it has ended, or is another user's
        return found

    def workers(self):
        members = self.members()
        return [pid for pid, parent in members.items() if parent in members]

    def wait_until_gone(self):
        end = time.monotonic() + weft.PATIENCE_S
        while self.members() and time.monotonic() < end:
            time.sleep(0.005)
        return self.members()

    def finish(self):
        out, err = self.process.communicate(timeout=weft.PATIENCE_S)
        return self.process.returncode, out, err


class WorkerDeaths(unittest.TestCase):
    def kill_workers(self, family, site):
        """Kills all of them, once the page that never comes was asked for; returns their pids."""
        site.wait_for_requests(1)
        workers = family.workers()
        self.assertTrue(workers)
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        return workers

    def check_error(self, text, url, workers):
        """The error names the page, one of the processes that were killed, and the signal."""
        self.assertTrue(text.startswith(f"GET {url}: ") or text.startswith(f"{url}: "), text)
        self.assertIn("signal 9", text)
        numbers = {int(number) for number in re.findall(r"\d+", text)}
        self.assertTrue(numbers & set(workers), (text, workers))

    def test_a_crawl_loses_the_page_that_a_worker_had(self):
        with weft.Site("hostile") as site:
            family = Family("crawl", "-q", "--engine", "processes", "-c", "1", "--depth", "0",
                            site.url + "hang", site.url + "good")
            workers = self.kill_workers(family, site)
            status, out, err = family.finish()
            records = {record["url"]: record for record in weft.read_records(out)}
            self.assertEqual((status, err, len(records)), (0, b"", 2))
            self.assertEqual(records[site.url + "good"]["status"], 200)
            lost = records[site.url + "hang"]
            self.assertEqual((lost["status"], lost["bytes"], lost["links"]), (0, 0, 0))
            self.check_error(lost["error"], site.url + "hang", workers)
            self.assertEqual(family.wait_until_gone(), {})

    def test_a_download_is_lost_with_its_worker_and_no_other(self):
        with weft.Site("hostile") as site:
            family = Family("get", "--engine", "processes", "-j", "1", site.url + "hang",
                            site.url + "good")
            workers = self.kill_workers(family, site)
            status, out, err = family.finish()
            lost, kept, last = out.decode().splitlines()
            self.assertEqual((status, err), (1, b""))
            self.assertEqual(kept, f"Read 4096 from {site.url}good")
            text = lost.removeprefix(f"Read 0 from {site.url}hang  ! ")
            self.check_error(text, site.url + "hang", workers)
            self.assertEqual(family.wait_until_gone(), {})

    def test_no_process_outlives_a_command_that_is_killed(self):
        with weft.Site("hostile") as site:
            family = Family("crawl", "-q", "--engine", "processes", site.url + "hang")
            site.wait_for_requests(1)
            self.assertGreaterEqual(len(family.members()), 3)  # itself, the helper, a worker
            family.process.kill()
            self.assertEqual(family.finish()[0], -signal.SIGKILL)
            self.assertEqual(family.wait_until_gone(), {})


if __name__ == "__main__":
    weft.main()
