# SPDX-License-Identifier: MIT
"""weft race: every engine runs every race, and says so in a table or in JSON."""
import json
import os
import re
import signal
import subprocess
import time
import unittest

import weft

RACES = {"primes": 2, "craw": 4, "sleep": 6}  # tasks


def engines():
    """As --help names them."""
    text = weft.run("race", "--help").out.decode()
    return re.search(r"--engines LIST\s.*?between: ([a-z, \n]+?)\s*\(", text, re.S)[1].replace(
        " ", "").replace("\n", "").split(",")


def site_of(pid):
    """The child of any of its threads that is a site."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/children") as file:
            for child in file.read().split():
                with open(f"/proc/{child}/cmdline", "rb") as command:
                    if command.read().split(b"\0")[1:2] == [b"site"]:
                        return int(child)
    return None


class Race(unittest.TestCase):
    def test_each_race_on_each_engine(self):
        names = engines()
        self.assertGreaterEqual(len(names), 3)
        for race, count in RACES.items():
            ran = weft.run("race", race, "-n", count)
            self.assertEqual((ran.status, ran.err), (0, b""))
            title, head, *lines = ran.out.decode().splitlines()
            self.assertTrue(title.startswith(f"{count} "), title)
            self.assertEqual(head.split(), ["engine", "wall", "s", "CPU", "s", "speed-up"])
            self.assertEqual([line.split()[0] for line in lines], names)
            self.assertTrue(lines[0].endswith(" 1.00x"))
            for line in lines:
                self.assertRegex(line, r"^\w+ +\d+\.\d{3} +\d+\.\d{3} +\d+\.\d\dx$")

    def test_json_and_what_waiting_takes(self):
        names = engines()
        ran = weft.run("race", "sleep", "-n", 20, "-j", 20, "--json", "--engines", ",".join(names))
        records = [json.loads(line) for line in ran.out.decode().splitlines()]
        self.assertEqual([record["engine"] for record in records], names)
        for record in records:
            self.assertEqual((record["race"], record["n"]), ("sleep", 20))
            self.assertGreaterEqual(record["wall_seconds"], 0.2 if record["engine"] == "single" else 0.01)
            self.assertGreater(record["cpu_seconds"], 0)
            self.assertAlmostEqual(record["speed_up"],
                                   records[0]["wall_seconds"] / record["wall_seconds"])

    def test_computing_costs_cpu_time_on_every_engine(self):
        ran = weft.run("race", "primes", "-n", 2, "--json")
        records = [json.loads(line) for line in ran.out.decode().splitlines()]
        least = min(record["cpu_seconds"] for record in records)
        # The same divisions everywhere: on workers of another process, too.
        self.assertGreater(least, 0.005)
        self.assertGreater(least * 4, max(record["cpu_seconds"] for record in records))

    def test_wrong_usage(self):
        for args, why in (([], "missing primes|craw|sleep"),
                          (["swim"], 'there is no race "swim": primes, craw, sleep'),
                          (["primes", "--engines", "steam"], "--engines wants some of single, "),
                          (["primes", "--engines", ""], "--engines wants some of single, "),
                          (["primes", "-n", "0"], "-n wants a number from 1 to 1000000, not \"0\"")):
            ran = weft.run("race", *args)
            self.assertEqual((ran.status, ran.out, len(ran.lines)), (2, b"", 1))
            self.assertTrue(ran.lines[0].startswith(f"weft race: {why}"), ran.lines)

    def test_an_interrupt_ends_it_and_its_site(self):
        child = subprocess.Popen([weft.PROGRAM, "race", "craw", "--engines", "single", "-n", "10000"],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        child.stdout.readline()  # the site is up
        site = site_of(child.pid)
        self.assertIsNotNone(site)
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(weft.PATIENCE_S), 130)
        child.stdout.close()
        end = time.monotonic() + weft.PATIENCE_S
        while os.path.exists(f"/proc/{site}"):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)


if __name__ == "__main__":
    weft.main()
