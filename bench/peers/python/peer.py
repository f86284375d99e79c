# SPDX-License-Identifier: MIT
"""The workloads in Python: concurrent.futures, queue, asyncio. Smaller counts where a million
would take minutes: the figures are rates. See bench/README.md for what each has to do."""

import asyncio
import queue
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor


def nothing():
    pass


def a1():
    count = 50_000
    with ThreadPoolExecutor(2) as pool:
        start = time.perf_counter()
        for future in [pool.submit(nothing) for _ in range(count)]:
            future.result()
        print(f"A1 {count / (time.perf_counter() - start):g} tasks/s")


def round_trips(pool, count, rest):
    times = []
    for _ in range(count):
        if rest:
            time.sleep(rest)
        start = time.perf_counter()
        pool.submit(nothing).result()
        times.append((time.perf_counter() - start) * 1e6)
    return statistics.median(times)


def c():
    with ThreadPoolExecutor(2) as pool:
        print(f"C.hot {round_trips(pool, 10_000, 0):g} us")
        print(f"C.idle {round_trips(pool, 500, 0.001):g} us")


def d1():
    count = 100_000

    async def run():
        for _ in range(count):
            await asyncio.sleep(0)

    async def both():
        start = time.perf_counter()
        await asyncio.gather(run(), run())
        print(f"D1 {(time.perf_counter() - start) * 1e9 / (2 * count):g} ns/yield")

    asyncio.run(both())


def d2():
    count = 50_000

    async def run():
        pass

    async def spawn():
        start = time.perf_counter()
        for _ in range(count):
            await asyncio.create_task(run())
        print(f"D2 {(time.perf_counter() - start) * 1e9 / count:g} ns/spawn")

    asyncio.run(spawn())


def pass_items(name, parties):
    each = 200_000 // parties
    pipe = queue.Queue(1024)

    def produce():
        for item in range(each):
            pipe.put(item)

    def consume():
        for _ in range(each):
            pipe.get()

    threads = [threading.Thread(target=role) for role in (produce, consume) for _ in range(parties)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"E.{name} {each * parties / (time.perf_counter() - start):g} items/s")


def e():
    pass_items("1p1c", 1)
    pass_items("2p2c", 2)
    pass_items("8p8c", 8)


WORKLOADS = {"A1": a1, "C": c, "D1": d1, "D2": d2, "E": e}

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: peer.py --list | WORKLOAD")
    if sys.argv[1] == "--list":
        print("\n".join(WORKLOADS))
    elif sys.argv[1] in WORKLOADS:
        WORKLOADS[sys.argv[1]]()
