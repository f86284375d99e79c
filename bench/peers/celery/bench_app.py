# SPDX-License-Identifier: MIT
"""Python's Celery in the benchmarks Q: the worker's tasks, and the client.

    python3 -m celery -A bench_app worker -c 2       BENCH_BROKER and BENCH_BACKEND are the addresses
    python3 bench_app.py publish TASK COUNT          calls sent a second
    python3 bench_app.py confirm TASK COUNT          each waiting for the broker's word
    python3 bench_app.py get TASK COUNT              of a call and its result: median and 99th
                                                     percentile, in ms
"""
import os
import sys
import time

import celery

app = celery.Celery("bench_app", broker=os.environ["BENCH_BROKER"],
                    backend=os.environ["BENCH_BACKEND"])


@app.task(name="bench_stored")
def bench_stored():
    return None


@app.task(name="bench_ignored", ignore_result=True)
def bench_ignored():
    return None


def publish(task, count):
    options = {"ignore_result": True} if task.ignore_result else {}
    task.apply_async(**options)  # connects
    start = time.perf_counter()
    for _ in range(count):
        task.apply_async(**options)
    print(count / (time.perf_counter() - start))


def get(task, count):
    times = []
    for _ in range(count):
        start = time.perf_counter()
        task.delay().get(timeout=20)
        times.append((time.perf_counter() - start) * 1000)
    times.sort()
    print(times[count // 2], times[count * 99 // 100])


def confirm(task, count):
    app.conf.broker_transport_options = {"confirm_publish": True}
    publish(task, count)


if __name__ == "__main__":
    {"publish": publish, "confirm": confirm, "get": get}[sys.argv[1]](app.tasks[sys.argv[2]], int(sys.argv[3]))
    sys.stdout.flush()
    os._exit(0)  # results that nobody took would be asked for, one by one
