# SPDX-License-Identifier: MIT
"""F4.run: 10,000 times /bin/true, two at a time, by a program made for that.

    peer.py PROGRAM --list | F4.run        PROGRAM is xargs, parallel, or the path of weft

The arguments 1 to 10,000 come from standard input, one a line; what counts is the whole command's
time, its start included, and only if it says that all have ended well."""

import os
import shutil
import subprocess
import sys
import time

COUNT = 10_000
COUNT_PARALLEL = 2_000  # it would take half a minute for all; the figure is a rate
TRUE = "/bin/true"


def command(program):
    if os.path.basename(program) == "weft":
        return [program, "run", "-j", "2", TRUE]
    if program == "parallel":
        return ["parallel", "--will-cite", "-j2", TRUE]
    return ["xargs", "-P2", "-n1", TRUE]


def run(program):
    count = COUNT_PARALLEL if program == "parallel" else COUNT
    numbers = "".join(f"{number}\n" for number in range(1, count + 1))
    start = time.perf_counter()
    done = subprocess.run(command(program), input=numbers, text=True, stdout=subprocess.DEVNULL)
    cost = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(f"{program}: status {done.returncode}")
    print(f"F4.run {count / cost:g} children/s")


def knows(program):
    if os.path.basename(program) == "weft":
        return subprocess.run([program, "run", "--help"], capture_output=True).returncode == 0
    return shutil.which(program) is not None


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: peer.py PROGRAM --list | F4.run")
    if sys.argv[2] == "--list":
        print("F4.run" if knows(sys.argv[1]) else "")
    elif sys.argv[2] == "F4.run":
        run(sys.argv[1])
