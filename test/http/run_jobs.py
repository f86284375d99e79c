# SPDX-License-Identifier: MIT
"""weft run: what jobs print and how they end, wrong input, interrupts, and flat memory."""
import json
import os
import pty
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import weft

HEADING = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand"


def run(*args, stdin=None, **more):
    return weft.run("run", "-q", *args, stdin=stdin, **more)


def run_list(text, *args, **more):
    with tempfile.TemporaryFile() as file:
        file.write(text if isinstance(text, bytes) else text.encode())
        file.seek(0)
        return run(*args, stdin=file, **more)


class Case(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)
        return self.path(name)

    def read(self, name):
        with open(self.path(name)) as file:
            return file.read()

    def check(self, ran, out, status=0, err=b""):
        self.assertEqual((ran.out, ran.err, ran.status), (out.encode(), err, status))


class Jobs(Case):
    def test_arguments_from_everywhere(self):
        self.check(run("-k", "echo", "{}", ":::", "a b", "", "-c"), "a b\n\n-c\n")
        self.check(run_list("one\ntwo\n\nlast", "-k", "echo", "<{}>"), "<one>\n<two>\n<>\n<last>\n")
        self.check(run_list(b"a\nb\0c\0", "-0", "-k", "printf", "%s|"), "a\nb|c|")
        path = self.write("list", "x\ny\n")
        self.check(run("-k", "-a", path, "echo"), "x\ny\n")
        self.check(run_list("x\ny\n", "-k", "-a", "-", "echo"), "x\ny\n")
        for mark in (";", "\\t", "\\0"):
            text = "a b" + mark.replace("\\t", "\t").replace("\\0", "\0") + "c\nd"
            self.check(run_list(text, "-d", mark, "-k", "printf", "<%s>"), "<a b><c\nd>")
        self.check(run_list("", "echo", "never"), "")
        self.check(run_list("", "-r", "echo", "never"), "")
        self.check(run("echo", ":::"), "")
        self.check(run("-k", "echo", ":::", "a", "b", ":::", "1", "2"), "a 1\na 2\nb 1\nb 2\n")

    def test_no_word_is_split_or_expanded(self):
        words = ["a  b", "$HOME", "*", "`id`", "it's", "\\n", "a;b", "-n", "é"]
        ran = run("-k", "printf", "%s\n", "x{}", ":::", *words)
        self.assertEqual(ran.out.decode().splitlines(), ["x" + word for word in words])
        self.check(run("-k", "--shell", "echo {} | tr a-z A-Z", ":::", "it's", "$x"), "IT'S\n$X\n")
        self.check(run("-k", "--shell", ":::", "echo a; echo b", "echo c"), "a\nb\nc\n")

    def test_options_of_the_command_are_its_own(self):
        self.check(run("-j1", "echo", "-q", "--json", "--", ":::", "a"), "-q --json -- a\n")

    def test_slots_and_numbers(self):
        ran = run("-j3", "-k", "echo", "{#}", "{%}", ":::", *"abcdefgh")
        lines = [line.split() for line in ran.out.decode().splitlines()]
        self.assertEqual([line[0] for line in lines], list("12345678"))
        self.assertLessEqual({line[1] for line in lines}, {"1", "2", "3"})

    def test_as_many_at_once_as_asked_for_and_no_more(self):
        # Each job waits until all three are there: with two slots none would ever end.
        script = 'touch "$0/$1"; until [ $(ls "$0" | wc -l) -ge 3 ]; do sleep 0.01; done'
        self.check(run("-j3", "--timeout", "60", "sh", "-c", script, self.folder, ":::", *"abc"), "")
        # And each of these finds nobody else's mark.
        script = 'mkdir "$0/lock" || exit 1; sleep 0.01; rmdir "$0/lock"'
        self.check(run("-j1", "sh", "-c", script, self.folder, ":::", *"abcd"), "")

    def test_output_is_not_mixed(self):
        script = "for i in 1 2 3 4 5; do echo $0 $i; echo $0 e$i >&2; sleep 0.01; done"
        ran = run("-j4", "sh", "-c", script, ":::", *"abcd")
        for text, mark in ((ran.out, ""), (ran.err, "e")):
            lines = text.decode().splitlines()
            self.assertEqual(len(lines), 20)
            for at in range(0, 20, 5):
                self.assertEqual(lines[at:at + 5],
                                 [f"{lines[at][0]} {mark}{i}" for i in range(1, 6)])

    def test_lines_come_at_once_and_whole(self):
        # The first job ends after the second has seen its line come out.
        fifo = self.path("fifo")
        os.mkfifo(fifo)
        script = 'printf "$0 half, "; echo whole; [ $0 = a ] && read x <"$1"; printf "$0 no newline"'
        child = subprocess.Popen([weft.PROGRAM, "run", "-q", "-j2", "--line-buffer", "sh", "-c", script,
                                  "{}", fifo, ":::", "a", "b"], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, bufsize=0)  # communicate() looks in no buffer
        text = ""
        while "a half, whole\n" not in text:
            line = child.stdout.readline().decode()
            self.assertTrue(line, text)
            text += line
        with open(fifo, "w") as file:
            file.write("go on\n")
        text += child.communicate(timeout=weft.PATIENCE_S)[0].decode()
        self.assertEqual(child.returncode, 0)
        for part in ("a half, whole\n", "b half, whole\n", "a no newline", "b no newline"):
            self.assertEqual(text.count(part), 1, text)

    def test_ungrouped_jobs_write_themselves(self):
        path = self.path("out")
        with open(path, "w") as out:
            subprocess.run([weft.PROGRAM, "run", "-q", "-u", "readlink", "/proc/self/fd/{}", ":::", "1"],
                           stdin=subprocess.DEVNULL, stdout=out, check=True, timeout=weft.PATIENCE_S)
        self.assertEqual(self.read("out"), path + "\n")

    def test_standard_input_is_empty(self):
        self.check(run_list("a\nb\n", "-j1", "-k", "sh", "-c", "cat; echo $0"), "a\nb\n")

    def test_large_output_spills_and_leaves_no_file(self):
        count = 300_000
        env = {**os.environ, "TMPDIR": self.folder}
        with tempfile.TemporaryFile() as out:
            child = subprocess.Popen([weft.PROGRAM, "run", "-q", "-k", "-j3", "sh", "-c",
                                      f"[ $0 = 1 ] && sleep 0.3; seq $0 3 {count}", ":::", "1", "2", "3"],
                                     stdin=subprocess.DEVNULL, stdout=out, env=env)
            _, status, usage = weft.wait4(child)
            self.assertEqual(status, 0)
            out.seek(0)
            got = out.read().split()
        self.assertEqual(got, [b"%d" % i for start in (1, 2, 3)
                               for i in range(start, count + 1, 3)])
        self.assertEqual(os.listdir(self.folder), [])

    def test_what_a_job_leaves_behind_is_not_waited_for_long(self):
        start = time.monotonic()
        ran = run("sh", "-c", "sleep 60 & echo $!", ":::", "a")
        os.kill(int(ran.out), signal.SIGKILL)
        self.assertEqual(ran.status, 0)
        self.assertLess(time.monotonic() - start, 30)

    def test_jobs_get_plain_signals_and_no_descriptors(self):
        ran = run("sh", "-c", "grep SigIgn /proc/self/status; ls /proc/self/fd", ":::", "a")
        lines = ran.out.decode().splitlines()
        self.assertEqual(int(lines[0].split()[1], 16) & 1 << signal.SIGPIPE - 1, 0)
        self.assertEqual(lines[1:], ["0", "1", "2", "3"])  # the last is ls's own


class Ends(Case):
    def test_the_status_counts_failures(self):
        self.check(run("sh", "-c", "exit $0", ":::", "0", "0"), "")
        self.check(run("sh", "-c", "exit $0", ":::", "3", "0", "4"), "", 2)
        many = 20 if weft.SANITIZED else 150
        self.check(run("false", ":::", *range(many)), "", min(many, 101))

    def test_a_program_that_is_not_there_when_its_turn_comes(self):
        program = self.write("plain", "")
        ran = run("--joblog", self.path("log"), "-j1", "{}", ":::", "/no/such", program)
        self.assertEqual(ran.status, 2)
        self.assertEqual(ran.lines, ["weft run: job 1: cannot run /no/such: No such file or directory",
                                     f"weft run: job 2: cannot run {program}: Permission denied"])
        log = self.read("log").splitlines()
        self.assertEqual([line.split("\t")[6] for line in log[1:]], ["127", "126"])

    def test_a_timeout_stops_all_of_a_job(self):
        script = 'echo before; sleep 60 & echo $! >"$0"; wait'
        start = time.monotonic()
        ran = run("--timeout", "0.5", "--joblog", self.path("log"), "sh", "-c", script, ":::",
                  self.path("pid"))
        self.check(ran, "before\n", 1)
        self.assertLess(time.monotonic() - start, 30)
        columns = self.read("log").splitlines()[1].split("\t")
        self.assertEqual(columns[6:8], ["-1", "15"])
        self.assertGone(int(self.read("pid")))

    def test_one_that_ignores_sigterm_is_killed(self):
        ran = run("--timeout", "0.3", "--json", "sh", "-c", "trap '' TERM; while :; do sleep 0.01; done",
                  ":::", "a")
        record = json.loads(ran.out)
        self.assertEqual((record["timed_out"], record["signal"]), (True, 9))

    def assertGone(self, pid):
        end = time.monotonic() + weft.PATIENCE_S
        while time.monotonic() < end:
            try:
                with open(f"/proc/{pid}/stat") as file:
                    if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                        return
            except (FileNotFoundError, ProcessLookupError):
                return
            time.sleep(0.01)
        self.fail(f"{pid} lives")

    def test_retries(self):
        script = 'echo x >>"$0"; echo try $(wc -l <"$0"); [ $(wc -l <"$0") -ge 3 ]'
        self.check(run("--retries", "5", "sh", "-c", script, ":::", self.path("a")), "try 3\n")
        self.check(run("--retries", "2", "sh", "-c", script, ":::", self.path("b")), "try 2\n", 1)
        ran = weft.run("run", "--retries", "2", "false", ":::", "a")
        self.assertRegex(ran.err.decode(),
                         r"^weft run: 1 job, 1 failed, 1 tried again, \d+\.\d{3} seconds\n$")

    def test_halt(self):
        jobs = ["sh", "-c", 'exit $0', ":::", "0", "3", "4", "0", "0", "0", "0"]
        for when, status, done in (("never", 2, 7), ("soon", 3, 2), ("now", 3, 2),
                                   ("soon,fail=2", 2, 3), ("now,success=1", 0, 1)):
            ran = run("-j1", "--halt", when, "--joblog", self.path("log"), *jobs)
            self.assertEqual((ran.status, len(self.read("log").splitlines()) - 1), (status, done), when)
        # soon lets the others end, now does not.
        script = 'if [ $0 = a ]; then until [ -e "$1" ]; do sleep 0.01; done; exit 7; fi; ' \
                 'touch "$1"; sleep $2; echo b'
        for when, wait, out in (("soon", "0.5", "b\n"), ("now", "60", "")):
            mark = self.path(when)
            self.check(run("-j2", "--halt", when, "sh", "-c", script, "{}", mark, wait, ":::", "a", "b"),
                       out, 7)

    def test_halt_while_the_list_is_waited_for(self):
        child = subprocess.Popen([weft.PROGRAM, "run", "-q", "-j2", "--halt", "soon", "false"],
                                 stdin=subprocess.PIPE)
        child.stdin.write(b"a\n")
        child.stdin.flush()
        self.assertEqual(child.wait(weft.PATIENCE_S), 1)
        child.stdin.close()


class Log(Case):
    def log(self):
        return [line.split("\t") for line in self.read("log").splitlines()[1:]]

    def test_columns(self):
        run("-k", "--joblog", self.path("log"), "sh", "-c", 'printf "$0"; echo err >&2; exit 3', ":::",
            "a b", "c")
        self.assertEqual(self.read("log").splitlines()[0], HEADING)
        for number, columns in enumerate(self.log(), 1):
            self.assertEqual(columns[:2] + columns[4:5] + columns[6:8], [str(number), ":", "0", "3", "0"])
            self.assertLess(abs(float(columns[2]) - time.time()), 600)
            self.assertRegex(columns[3], r"^ *\d+\.\d{3}$")
        self.assertEqual([columns[5] for columns in self.log()], ["3", "1"])
        self.assertTrue(self.log()[0][8].endswith(" 'a b'"))

    def test_resume_runs_what_is_missing(self):
        args = ["-k", "--joblog", self.path("log"), "sh", "-c", "echo $0; [ $0 != b ]", ":::"]
        self.check(run(*args, "a", "b"), "a\nb\n", 1)
        with open(self.path("log"), "a") as file:
            file.write("3\t:\t1.0\t 0.0")  # torn
        ran = weft.run("run", "--resume", *args, "a", "b", "c", "d")
        self.assertEqual((ran.out, ran.status), (b"c\nd\n", 0))
        self.assertRegex(ran.err.decode(), r"^weft run: 2 jobs, 0 failed, 2 done before, ")
        self.assertEqual([columns[0] for columns in self.log()], ["1", "2", "3", "4"])
        self.check(run("--resume-failed", *args, "a", "b", "c", "d"), "b\n", 1)
        self.check(run("--resume", *args, "a", "b", "c", "d"), "")

    def test_a_foreign_file_is_not_touched(self):
        self.write("log", "my notes\n")
        ran = run("--resume", "--joblog", self.path("log"), "touch", ":::", self.path("made"))
        self.assertEqual((ran.status, ran.lines), (2, [
            f"weft run: cannot keep the log {self.path('log')}: line 1 is not of a log of jobs; "
            "see weft run --help"]))
        self.assertEqual(self.read("log"), "my notes\n")
        self.assertFalse(os.path.exists(self.path("made")))


class Json(Case):
    def test_an_object_for_each_job(self):
        script = 'printf "%s\\n" "$0"; printf "\\377e" >&2; exit 5'
        ran = run("--json", "-k", "-j2", "sh", "-c", script, ":::", "a\"b", "é")
        records = [json.loads(line) for line in ran.out.decode().splitlines()]
        self.assertEqual(ran.status, 2)
        self.assertEqual([record["job"] for record in records], [1, 2])
        self.assertEqual([record["stdout"] for record in records], ["a\"b\n", "é\n"])
        for record in records:
            self.assertEqual(record["stderr"], "\ufffde")
            self.assertEqual((record["exit_status"], record["signal"], record["tries"],
                              record["timed_out"]), (5, 0, 1, False))
            self.assertEqual(record["argv"], ["sh", "-c", script, record["args"][0]])
            self.assertGreater(record["seconds"], 0)
            self.assertGreaterEqual(record["user_seconds"] + record["system_seconds"], 0)
            self.assertGreater(record["max_rss_bytes"], 0)
            self.assertLess(abs(record["start"] - time.time()), 600)
        self.assertEqual(run("--json", "sh", "-c", "kill -9 $$", ":::", "a").out.count(b'"signal":9'), 1)

    def test_characters_that_blocks_cut_through_stay_whole(self):
        # Three bytes each, so that no power of two falls between characters only.
        count = 200_000
        script = f'import sys; sys.stdout.write("x" + "€" * {count} + "\\udc80")'
        ran = run("--json", "python3", "-c",
                  script.replace("sys.stdout.write(", "sys.stdout.buffer.write((")
                  .replace('"\\udc80")', '"").encode() + b"\\x80\\xe2\\x82")'), ":::", "")
        self.assertEqual(json.loads(ran.out)["stdout"], "x" + "€" * count + "\ufffd\ufffd")


class Wrong(Case):
    def refuse(self, why, *args, stdin=None):
        if ":::" not in args and stdin is None:
            args = (*args, ":::", self.path("made"))
        ran = weft.run("run", *args, stdin=stdin)
        self.assertEqual((ran.status, ran.out, ran.lines),
                         (2, b"", [f"weft run: {why}; see weft run --help"]))
        self.assertEqual(os.listdir(self.folder), [])

    def test_each_has_one_line_and_starts_nothing(self):
        folder = self.folder
        for why, *args in (
                ("cannot run \"nosuch-program\": not found in PATH", "nosuch-program"),
                ("cannot run \"./nosuch\": No such file or directory", "./nosuch", "{}"),
                (f"cannot run \"{folder}\": Is a directory", folder),
                ("cannot run \"/etc/passwd\": Permission denied", "/etc/passwd"),
                ("-j wants a number from 1 to 10000, not \"0\"", "-j", "0", "touch"),
                ("-P wants a number from 1 to 10000, not \"0\"", "-P0", "touch"),
                ("{3} in the command: a job has 2 arguments (-n says how many; -I STR leaves braces "
                 "alone)", "-n2", "touch", "{3}"),
                ("{2} in the command: a job has 1 argument (-n says how many; -I STR leaves braces "
                 "alone)", "touch", "a{2}"),
                ("missing COMMAND", "-k"),
                ("--timeout wants seconds, not \"soon\"", "--timeout", "soon", "touch"),
                ("--timeout wants seconds, not \"0\"", "--timeout", "0", "touch"),
                ("--halt wants never, soon, now, soon,fail=N or the like, not \"later\"", "--halt", "later",
                 "touch"),
                ("--halt wants never, soon, now, soon,fail=N or the like, not \"now,fail=0\"", "--halt",
                 "now,fail=0", "touch"),
                ("--line-buffer and --keep-order exclude each other", "-k", "--line-buffer", "touch"),
                ("--ungroup and --json exclude each other", "-u", "--json", "touch"),
                ("--resume wants the log: --joblog FILE", "--resume", "touch"),
                ("-d wants one character, not \"ab\"", "-d", "ab", "touch"),
                ("-I wants a mark that is not empty", "-I", "", "touch"),
                ("cannot keep the log /no/such: No such file or directory", "--joblog", "/no/such", "touch"),
                ("unknown option --keep-oder (did you mean --keep-order?)", "--keep-oder", "touch")):
            with self.subTest(args=args):
                self.refuse(why, *args)
        self.assertEqual(os.listdir(folder), [])

    def test_lists(self):
        self.refuse(":::: is not known here; there are ::: and -a FILE", "touch", "::::", "f", ":::")
        ran = weft.run("run", "-a", "/no/such", "touch", self.path("made"))
        self.assertEqual((ran.status, ran.lines), (2, [
            "weft run: cannot read /no/such: No such file or directory; see weft run --help"]))
        self.refuse("arguments come from -a or from :::, not from both", "-a", "/dev/null", "touch")
        self.refuse("-n wants one list of arguments, not 2", "-n1", "touch", ":::", "a", ":::", "b")
        folder = os.open("/", os.O_RDONLY)
        self.addCleanup(os.close, folder)
        self.refuse("cannot read standard input: Is a directory", "touch", stdin=folder)

    def test_a_terminal_is_no_list(self):
        leader, terminal = pty.openpty()
        self.addCleanup(os.close, leader)
        self.addCleanup(os.close, terminal)
        self.refuse("no arguments: give them after :::, in a file with -a, or on standard input",
                    "touch", stdin=terminal)

    def test_a_list_that_breaks_off(self):
        # What was taken before is run, and the status is no count.
        ran = run_list(b"a\nb\n" + b"x" * 200_000 + b"\nc\n", "-k", "echo")
        self.assertEqual((ran.status, ran.lines), (255, ["weft run: argument 3 is longer than 131071 bytes"]))
        self.assertEqual(ran.out, b"a\nb\n")
        ran = run_list(b"a\0b\n", "echo")
        self.assertEqual((ran.status, ran.lines), (255, [
            "weft run: argument 1 has a NUL in it; see -0 for lists made with NULs"]))

    def test_output_that_cannot_be_written(self):
        with open("/dev/full", "w") as full:
            ran = run("-j1", "--joblog", self.path("log"), "echo", ":::", "a", "b", stdout=full)
        self.assertEqual((ran.status, ran.lines),
                         (255, ["weft run: cannot write standard output: No space left on device"]))
        self.assertEqual(len(self.read("log").splitlines()), 1)  # what was not printed is not done
        reader, writer = os.pipe()
        os.close(reader)
        ran = run("-j2", "sh", "-c", "echo a; sleep $0", ":::", "0", "60", stdout=writer)
        os.close(writer)
        self.assertEqual((ran.status, ran.lines),
                         (255, ["weft run: cannot write standard output: the reader has gone"]))

    def test_help_and_dry_run(self):
        ran = weft.run("run", "--help")
        self.assertEqual((ran.status, ran.err), (0, b""))
        self.assertIn(b"-j, --jobs N", ran.out)
        ran = weft.run("run", "--dry-run", "touch", "{}", "{#}", "{.}", ":::", self.path("it's.c"))
        folder = self.folder
        self.assertEqual(ran.out.decode(),
                         f"touch '{folder}/it'\"'\"'s.c' 1 '{folder}/it'\"'\"'s'\n")
        self.assertEqual(os.listdir(folder), [])
        # What is printed is what a shell would run.
        word = "a b'c\"d$e\\f*"
        ran = weft.run("run", "--dry-run", "printf", "%s", ":::", word)
        self.assertEqual(subprocess.run(["sh", "-c", ran.out], capture_output=True).stdout.decode(), word)


class Interrupted(Case):
    def start(self, *args, **more):
        child = subprocess.Popen([weft.PROGRAM, "run", *args], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
        self.addCleanup(lambda: child.poll() is None and child.kill())
        return child

    def wait_for(self, *names):
        end = time.monotonic() + weft.PATIENCE_S
        while not all(os.path.exists(self.path(name)) for name in names):
            self.assertLess(time.monotonic(), end)
            time.sleep(0.01)

    def test_children_die_and_nothing_done_is_lost(self):
        # 2 is held back by 1, which is cut off: it has been done, so it is printed and logged.
        script = 'echo $0; [ $0 = 2 ] || { sleep 60 & echo $! >"$1/$0"; mv "$1/$0" "$1/$0.pid"; wait; }'
        for signo in (signal.SIGINT, signal.SIGTERM):
            child = self.start("-k", "-j2", "--joblog", self.path("log"), "sh", "-c", script, "{}",
                               self.folder, ":::", "1", "2", "3", "4")
            self.wait_for("1.pid", "3.pid")
            child.send_signal(signo)
            out, err = child.communicate(timeout=weft.PATIENCE_S)
            self.assertEqual(child.returncode, 128 + signo)
            self.assertEqual(out, b"2\n")
            self.assertRegex(err.decode(), r"^weft run: 1 job, 0 failed, 2 stopped, ")
            self.assertEqual([line.split("\t")[0] for line in self.read("log").splitlines()[1:]], ["2"])
            for name in ("1.pid", "3.pid"):
                Ends.assertGone(self, int(self.read(name)))
                os.remove(self.path(name))

    def test_at_any_moment_what_is_logged_has_been_printed_and_nothing_else(self):
        seed = time.time_ns() % 1000000
        print(f"seed {seed}", file=sys.stderr)
        chance = random.Random(seed)
        for _ in range(4 if weft.SANITIZED else 12):
            options = chance.choice([[], ["-k"], ["--json"], ["-k", "--json"]])
            child = self.start("-q", f"-j{chance.choice([1, 2, 8])}", *options, "--joblog",
                               self.path("log"), "sh", "-c", "echo a$0; echo e$0 >&2", ":::",
                               *map(str, range(1, 2000)), bufsize=0)
            begun = b"".join(child.stdout.readline() for _ in range(chance.randrange(1, 20)))
            child.terminate()
            rest, err = child.communicate(timeout=weft.PATIENCE_S)
            self.assertEqual(child.returncode, 143)
            logged = [line.split("\t")[0] for line in self.read("log").splitlines()[1:]]
            lines = (begun + rest).decode().splitlines()
            if "--json" in options:
                records = [json.loads(line) for line in lines]
                for record in records:
                    self.assertEqual((record["stdout"], record["stderr"]),
                                     (f"a{record['job']}\n", f"e{record['job']}\n"))
                self.assertEqual([str(record["job"]) for record in records], logged)
            else:
                self.assertEqual([line[1:] for line in lines], logged)
                self.assertEqual([line[1:] for line in err.decode().splitlines()], logged)

    def test_while_the_list_is_waited_for(self):
        child = subprocess.Popen([weft.PROGRAM, "run", "-q", "-j2", "touch"], stdin=subprocess.PIPE)
        child.stdin.write(self.path("a").encode() + b"\n")
        child.stdin.flush()
        self.wait_for("a")
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(weft.PATIENCE_S), 130)
        child.stdin.close()

    def test_while_nobody_reads(self):
        # A pipe nobody reads is full after 64 KiB.
        child = self.start("-j2", "sh", "-c", 'seq 100000; touch "$1/$0"', "{}", self.folder, ":::", "1",
                           "2", "3", "4")
        self.wait_for("1")
        time.sleep(0.2)  # it may as well not be blocked yet: the test then tests less
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(weft.PATIENCE_S), 143)
        child.communicate()


class Progress(Case):
    def test_is_shown_on_a_terminal_and_wiped_off(self):
        leader, terminal = pty.openpty()
        child = subprocess.Popen([weft.PROGRAM, "run", "--progress", "-j1", "sh", "-c",
                                  'echo out; until [ -e "$0" ]; do sleep 0.01; done', ":::",
                                  "/", self.path("go")], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=terminal)
        os.close(terminal)
        text = b""
        while b"1/2 done  1 running  0 failed" not in text:
            text += os.read(leader, 4096)
        self.write("go", "")
        try:
            while True:
                text += os.read(leader, 4096)
        except OSError:  # as a terminal ends
            pass
        os.close(leader)
        self.assertEqual((child.wait(weft.PATIENCE_S), child.stdout.read()), (0, b"out\nout\n"))
        child.stdout.close()
        self.assertRegex(text.rsplit(b"\r\x1b[K", 1)[1],
                         rb"^weft run: 2 jobs, 0 failed, \d+\.\d{3} seconds\r\n$")

    def test_is_not_shown_elsewhere(self):
        self.check(run("--progress", "sleep", ":::", "0.5"), "")


class Long(Case):
    @unittest.skipIf(weft.SANITIZED, "memory is the tool's")
    def test_a_long_list_needs_no_memory(self):
        def measure(count):
            # Passed over, so that only the list is measured.
            log = self.path("log")
            with open(log, "w") as file:
                file.write(HEADING + "\n")
                file.writelines(f"{i}\t:\t1.0\t 0.0\t0\t0\t0\t0\tx\n" for i in range(2, count))
            with open(self.path("list"), "w") as file:
                file.writelines(f"argument number {i}\n" for i in range(1, count + 1))
            ran = run("-k", "--resume", "--joblog", log, "-a", self.path("list"), "echo")
            self.check(ran, f"argument number 1\nargument number {count}\n")
            return ran.peak_bytes
        self.assertLess(measure(1_000_000), measure(1000) + (8 << 20))

    @unittest.skipIf(weft.SANITIZED, "memory is the tool's")
    def test_large_outputs_need_no_memory(self):
        # Held back by the first job, and as one line of JSON.
        script = '[ $0 = 1 ] && sleep 0.3; head -c 40000000 /dev/zero | tr "\\0" x'
        little = run("true", ":::", "a").peak_bytes  # at least what this process holds itself
        for options in (["-k"], ["--json"]):
            with open(self.path("out"), "w+b") as out:
                ran = run("-j2", *options, "sh", "-c", script, ":::", "1", "2", stdout=out)
                self.assertEqual((ran.status, ran.err), (0, b""))
                self.assertLess(ran.peak_bytes, little + (24 << 20))
                self.assertGreaterEqual(out.tell(), 80_000_000)

    def test_no_job_starts_too_far_ahead_of_what_is_printed(self):
        # All between the first and the last are passed over; the last would end first.
        with open(self.path("log"), "w") as file:
            file.write(HEADING + "\n")
            file.writelines(f"{i}\t:\t1.0\t 0.0\t0\t0\t0\t0\tx\n" for i in range(2, 70_000))
        script = 'echo $0; [ $0 = 70000 ] && touch "$1/last"; [ $0 != 1 ] || { sleep 0.5; [ ! -e "$1/last" ]; }'
        numbers = "".join(f"{i}\n" for i in range(1, 70_001))
        self.check(run_list(numbers, "-j2", "-k", "--resume", "--joblog", self.path("log"), "sh", "-c",
                            script, "{}", self.folder), "1\n70000\n")

    def test_an_argument_list_that_the_system_refuses(self):
        words = ["x" * 100_000] * 100
        ran = run_list("\n".join(words), "-n100", "echo")
        self.assertEqual((ran.status, ran.out, ran.lines),
                         (1, b"", ["weft run: job 1: cannot run echo: Argument list too long"]))

    def test_many_jobs_at_once(self):
        count = 40 if weft.SANITIZED else 400
        ran = run(f"-j{count}", "-k", "sh", "-c", "sleep 0.2; echo $0", ":::", *range(count))
        self.assertEqual((ran.status, ran.err), (0, b""))
        self.assertEqual(ran.out.split(), [b"%d" % i for i in range(count)])

    def test_fewer_descriptors_than_jobs(self):
        command = ["sh", "-c", 'ulimit -n 60; exec "$0" "$@"', weft.PROGRAM, "run", "-q", "-j100", "-k",
                   "sh", "-c", "sleep 0.05; echo $0; ulimit -n", ":::", *map(str, range(100))]
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True,
                             timeout=weft.PATIENCE_S)
        self.assertEqual((ran.returncode, ran.stderr), (0, b""))
        self.assertEqual(ran.stdout.split(), [b"%d" % i if half == 0 else b"60"
                                              for i in range(100) for half in (0, 1)])


if __name__ == "__main__":
    weft.main(at_once=4)
