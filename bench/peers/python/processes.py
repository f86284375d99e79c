# SPDX-License-Identifier: MIT
"""The workloads of processes in Python: both of its pools, multiprocessing's queues, subprocess.
See bench/README.md for what each has to do."""

import collections
import math
import multiprocessing
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

TRUE = "/bin/true"
PRIME = 112272535095293
GIB = 1 << 30


def nothing(_=None):
    return None


def round_trips(name, call, count):
    times = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e6)
    times.sort()
    print(f"F1.p50@{name} {times[count // 2]:g} us")
    print(f"F1.p99@{name} {times[count * 99 // 100]:g} us")


def f1():
    count = 5_000
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(nothing, range(16)))
        round_trips("ProcessPoolExecutor", lambda: pool.submit(nothing).result(), count)
    with multiprocessing.Pool(2) as pool:
        pool.map(nothing, range(16))
        round_trips("Pool", lambda: pool.apply_async(nothing).get(), count)


def mapped(name, chunk, count, run):
    start = time.perf_counter()
    results = sum(1 for _ in run())
    cost = time.perf_counter() - start
    if results != count:
        sys.exit("results lost")
    print(f"F2.{chunk}@{name} {count / cost:g} tasks/s")


def f2():
    # Fewer tasks where each is a message of its own, so that a run takes a second or so.
    for chunk, of_executor, of_pool in ((1, 10_000, 50_000), (64, 500_000, 1_000_000)):
        with ProcessPoolExecutor(2) as pool:
            list(pool.map(nothing, range(16)))
            mapped("ProcessPoolExecutor", chunk, of_executor,
                   lambda: pool.map(nothing, range(of_executor), chunksize=chunk))
        with multiprocessing.Pool(2) as pool:
            pool.map(nothing, range(16))
            mapped("Pool", chunk, of_pool,
                   lambda: pool.map(nothing, range(of_pool), chunksize=chunk))


def produce(queue, count):
    for item in range(count):
        queue.put(item)


def pass_items(name, queue, count):
    producer = multiprocessing.Process(target=produce, args=(queue, count))
    start = time.perf_counter()
    producer.start()
    total = 0
    for _ in range(count):
        total += queue.get()
    cost = time.perf_counter() - start
    producer.join()
    if total != count * (count - 1) // 2:
        sys.exit("items lost")
    print(f"F3@{name} {count / cost:g} items/s")


def f3():
    pass_items("SimpleQueue", multiprocessing.SimpleQueue(), 200_000)
    pass_items("Queue", multiprocessing.Queue(1024), 100_000)


def spawn(name, in_flight, count):
    running = []
    start = time.perf_counter()
    for _ in range(count):
        if len(running) == in_flight and running.pop(0).wait() != 0:
            sys.exit("a child failed")
        running.append(subprocess.Popen([TRUE]))
    if any(child.wait() for child in running):
        sys.exit("a child failed")
    print(f"{name} {count / (time.perf_counter() - start):g} children/s")


def f4():
    spawn("F4.one", 1, 1000)
    spawn("F4.two", 2, 1000)
    memory = bytearray(GIB)
    for page in range(0, GIB, 4096):
        memory[page] = 1
    spawn("F4.one.1gib", 1, 1000)
    spawn("F4.two.1gib", 2, 1000)


def is_prime(n):
    if n < 2:
        return False
    if n == 2:
        return True
    if n % 2 == 0:
        return False
    for i in range(3, int(math.floor(math.sqrt(n))) + 1, 2):
        if n % i == 0:
            return False
    return True


def primes(pool):
    numbers = [PRIME] * 10
    start = time.perf_counter()
    if not all((pool.map if pool else map)(is_prime, numbers)):
        sys.exit("came out as no prime")
    return time.perf_counter() - start


def g():
    serial = primes(None)
    print(f"# one call {serial * 100:g} ms")
    with ThreadPoolExecutor(2) as pool:
        print(f"G.speedup@threads {serial / primes(pool):g} x")
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(nothing, range(16)))
        print(f"G.speedup@processes {serial / primes(pool):g} x")


PIECES, PIECE_BYTES = 256, 64 * 1024


def piece_of_text(seed):
    """Words of 4,096 kinds, as bench_mapreduce.c writes them; and the seed that it ends with."""
    words, left = [], PIECE_BYTES
    while left:
        seed = (seed * 1664525 + 1013904223) & 0xffffffff
        word = f"word{(seed >> 20) & ((seed >> 8) | 255)} "
        words.append(word if len(word) <= left else "x" * left)
        left -= len(words[-1])
    return "".join(words), seed


def count_words(text):
    return collections.Counter(text.split())


def mapreduce():
    pieces, seed = [], 1
    for _ in range(PIECES):
        text, seed = piece_of_text(seed)
        pieces.append(text)
    with multiprocessing.Pool(2) as pool:
        pool.map(nothing, range(16))
        count = 20_000
        start = time.perf_counter()
        for _ in pool.imap(nothing, range(count)):
            pass
        print(f"mapreduce.part@Pool {(time.perf_counter() - start) * 1e6 / count:g} us")
        start = time.perf_counter()
        total = collections.Counter()
        for counted in pool.imap_unordered(count_words, pieces):
            total.update(counted)
        words = sorted(total.items())
        cost = time.perf_counter() - start
    if sum(number for _, number in words) != sum(len(text.split()) for text in pieces):
        sys.exit("words lost")
    print(f"mapreduce.words@Pool {PIECES * PIECE_BYTES / 1048576 / cost:g} MiB/s")


WORKLOADS = {"F1": f1, "F2": f2, "F3": f3, "F4": f4, "G": g, "mapreduce": mapreduce}

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: processes.py --list | WORKLOAD")
    if sys.argv[1] == "--list":
        print("\n".join(WORKLOADS))
    elif sys.argv[1] in WORKLOADS:
        WORKLOADS[sys.argv[1]]()
