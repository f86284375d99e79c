# SPDX-License-Identifier: MIT
"""The server of V1 to V3 as the texts write it, with Flask and pools; gunicorn runs it.

See bench/README.md for what it has to answer."""

import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from time import sleep

from flask import Flask, Response, jsonify

app = Flask(__name__)
threads = ThreadPoolExecutor(max_workers=300)
_processes = None


def processes():
    """Made by the first that asks: after gunicorn has forked."""
    global _processes
    if _processes is None:
        _processes = ProcessPoolExecutor(os.cpu_count())
    return _processes


def wait(seconds, result):
    sleep(seconds)
    return result


def is_prime(n):
    if n % 2 == 0:
        return False
    i = 3
    while i * i <= n:
        if n % i == 0:
            return False
        i += 2
    return True


@app.route("/")
def hello():
    return Response("Hello, world!\n", mimetype="text/plain")


@app.route("/waits")
def waits():
    file = threads.submit(wait, 0.1, "file result")
    db = threads.submit(wait, 0.2, "db result")
    api = threads.submit(wait, 0.3, "api result")
    return jsonify(result_file=file.result(), result_db=db.result(), result_api=api.result())


@app.route("/is_prime/<numbers>")
def primes(numbers):
    numbers = [int(number) for number in numbers.split(",")]
    return jsonify(dict(zip(map(str, numbers), processes().map(is_prime, numbers))))
