# SPDX-License-Identifier: MIT
"""weft run beside GNU parallel: the same jobs, the same output, log and status, where both have them.

Words that a shell would read otherwise are given to parallel with -q, and weft run's --shell is held
against parallel as it is.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import weft

if not shutil.which("parallel"):
    print("skipped: there is no parallel")
    sys.exit(77)

HOME = tempfile.TemporaryDirectory()  # parallel keeps files there
ENV = {**os.environ, "HOME": HOME.name, "PARALLEL_HOME": HOME.name, "SHELL": "/bin/sh", "LC_ALL": "C.UTF-8"}


def execute(command, text):
    return subprocess.run(command, input=text, capture_output=True, env=ENV, timeout=weft.PATIENCE_S)


class Beside(unittest.TestCase):
    def same(self, *args, text=b"", quiet_err=True, parallel=()):
        """Runs both with -k and compares output and status."""
        ours = execute([weft.PROGRAM, "run", "-q", "-k", *args], text)
        theirs = execute(["parallel", "-k", *parallel, *args], text)
        self.assertEqual((ours.stdout, ours.returncode), (theirs.stdout, theirs.returncode),
                         (args, ours.stderr, theirs.stderr))
        if quiet_err:
            self.assertEqual(ours.stderr, theirs.stderr)
        return ours

    def test_marks(self):
        paths = ["/x/y/z.tar.gz", "a.b", "/a", "./.hidden", "x/.h", "dir.d/file", "/", "a/", "a."]
        for mark in ("{}", "{.}", "{/}", "{//}", "{/.}", "{#}", "x{}y", "{.}.o"):
            self.same("echo", mark, ":::", *paths, parallel=["-q"])

    def test_arguments_behind_a_command_without_marks(self):
        self.same("echo", ":::", "a b", "it's", "$HOME", "*")
        self.same("echo", text=b"a\n\nb c\nlast")

    def test_several_arguments(self):
        words = list("abcdefg")
        self.same("-n3", "echo", ":::", *words)
        self.same("-n3", "echo", "{}", "-{}-", ":::", *words)
        self.same("-n2", "echo", "{2}", "{1}", "{1.}", "{2/}", ":::", *words)
        self.same("-n", "2", "echo", "<{2}>", "<{1}>", ":::", *words, parallel=["-q"])

    def test_several_lists(self):
        self.same("echo", "{1}-{2}", ":::", "a", "b", ":::", "1", "2", "3")
        self.same("echo", ":::", "a", "b", ":::", "1", "2")

    def test_lists_that_are_read(self):
        self.same("-0", "echo", "<{}>", text=b"a\nb\0c\0", parallel=["-q"])
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("one\ntwo\n")
            file.flush()
            self.same("-a", file.name, "echo")
            self.same("--arg-file", file.name, "echo")
        self.same("-d", ",", "echo", "<{}>", text=b"a,b c,,d\n", parallel=["-q"])
        self.same("-d", "\\t", "echo", "<{}>", text=b"a\tb c\td", parallel=["-q"])

    def test_another_mark(self):
        self.same("-I", "%%", "echo", "x%%y", "{}", ":::", "a", "b", parallel=["-q"])

    def test_statuses(self):
        for statuses in (["0"], ["3"], ["1", "0", "2"], ["1"] * 5):
            self.same("sh", "-c", "exit $0", ":::", *statuses, parallel=["-q"])
        if not weft.SANITIZED:
            self.same("false", ":::", *map(str, range(100)))
            self.same("false", ":::", *map(str, range(120)))
        # The shell that parallel puts around a job may say "Killed".
        self.same("sh", "-c", "kill -9 $$", ":::", "a", quiet_err=False, parallel=["-q"])

    def test_halt(self):
        for when in ("never", "soon,fail=1", "now,fail=1", "soon,fail=2", "now,success=1"):
            self.same("-j1", "--halt", when, "sh", "-c", "echo $0; exit $0", ":::", "0", "3", "0", "4",
                      "0", parallel=["-q"], quiet_err=False)

    def test_grouped_output(self):
        script = "echo a$0; echo b$0 >&2; sleep 0.0$0; echo c$0; echo d$0 >&2"
        self.same("-j4", "sh", "-c", script, ":::", "4", "3", "2", "1", parallel=["-q"])

    def test_retries(self):
        with tempfile.TemporaryDirectory() as folder:
            script = 'echo x >>"$1"; wc -l <"$1"; [ $(wc -l <"$1") -ge $0 ]'
            for name, tries in (("enough", "3"), ("few", "2")):
                ours, theirs = (os.path.join(folder, who + name) for who in ("weft", "parallel"))
                a = execute([weft.PROGRAM, "run", "-q", "--retries", tries, "sh", "-c", script, "3", ":::",
                             ours], b"")
                b = execute(["parallel", "-q", "--retries", tries, "sh", "-c", script, "3", ":::",
                             theirs], b"")
                self.assertEqual((a.stdout, a.returncode), (b.stdout, b.returncode))

    def test_a_shell_when_asked(self):
        for command in ("echo {} | tr a-z A-Z", "for i in 1 2; do echo {} $i; done", "echo {.}; exit 2"):
            args = [":::", "a b.c", "it's", "$x"]
            ours = execute([weft.PROGRAM, "run", "-q", "-k", "--shell", command, *args], b"")
            theirs = execute(["parallel", "-k", command, *args], b"")
            self.assertEqual((ours.stdout, ours.returncode), (theirs.stdout, theirs.returncode))

    def test_dry_run(self):
        words = ["a b", "it's", "$x", "", "~", "a=b", "é", "x'", "''", "-"]
        ours = execute([weft.PROGRAM, "run", "--dry-run", "echo", "{}", "{#}", ":::", *words], b"")
        theirs = execute(["parallel", "-k", "--dry-run", "echo", "{}", "{#}", ":::", *words], b"")
        self.assertEqual(ours.stdout, theirs.stdout)

    def test_logs(self):
        """All columns but the times; and each resumes what the other has begun."""
        def columns(path):
            with open(path) as file:
                lines = [line.rstrip("\n").split("\t") for line in file]
            return lines[0], sorted(line[:2] + line[4:] for line in lines[1:])
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = os.path.join(folder, "weft"), os.path.join(folder, "parallel")
            command = ["echo out{}; echo err >&2; exit {}", ":::"]
            words = ["0", "3", "1"]
            execute([weft.PROGRAM, "run", "-q", "--shell", "--joblog", ours, *command, *words], b"")
            execute(["parallel", "--joblog", theirs, *command, *words], b"")
            self.assertEqual(columns(ours), columns(theirs))
            for who, log in ((["parallel"], ours), ([weft.PROGRAM, "run", "-q", "--shell"], theirs)):
                ran = execute([*who, "--resume", "--joblog", log, *command, *words, "4"], b"")
                self.assertEqual((ran.stdout, ran.returncode), (b"out4\n", 1))
            self.assertEqual(columns(ours), columns(theirs))

    def test_a_timeout(self):
        ours = self.same("--timeout", "1", "sh", "-c", "echo before; sleep $0; echo after", ":::", "0", "60",
                         parallel=["-q"], quiet_err=False)
        self.assertEqual(ours.stdout, b"before\nafter\nbefore\n")


if __name__ == "__main__":
    weft.main(at_once=4)
