# SPDX-License-Identifier: MIT
"""What no client sends, on RabbitMQ: the messages of hostile_python.py as far as AMQP can carry them,
with the same ends.

Run by /usr/bin/python3; exits 77 when Debian's python3-redis, python3-celery or a server is
missing."""
import json
import random
import signal
import sys
import unittest
import uuid

try:
    import amqp
except ImportError as missing:
    print(f"{missing} (Debian: python3-celery)")
    sys.exit(77)

import rabbit
from cluster import Redis, Worker, body_of, message, wait_until
from hostile_python import PEAK_KIB, PROGRAM, SEED, check_outcome, tasks, wrong_headers

SHORT, FRAME = 255, 120_000  # what AMQP has room for in a property, and in all headers


class Hostile(unittest.TestCase):
    def setUp(self):
        REDIS.client.flushall()
        self.connection = amqp.Connection(f"127.0.0.1:{RABBIT.ports[0]}")
        self.connection.connect()
        self.addCleanup(self.connection.close)
        self.channel = self.connection.channel()
        self.queue = f"q{uuid.uuid4()}"
        self.channel.queue_declare(self.queue, durable=True, auto_delete=False)
        self.channel.exchange_declare(self.queue, "direct", durable=True, auto_delete=False)
        self.channel.queue_bind(self.queue, self.queue, self.queue)
        self.worker = Worker(PROGRAM, RABBIT.url, REDIS.url, "concurrency=2", f"queue={self.queue}")
        self.addCleanup(lambda: self.worker.log.closed or self.worker.end(signal.SIGKILL))
        self.good = 0

    def send(self, content, headers, content_type="application/json", encoding="utf-8"):
        self.channel.basic_publish(
            amqp.Message(content, content_type=content_type, content_encoding=encoding,
                         application_headers=headers, delivery_mode=2), "", self.queue)

    def send_good(self):
        self.good += 1
        self.send(body_of(self.good, self.good),
                  message("add", f"good-{self.good}", b"")["headers"])

    def meta(self, task_id):
        text = REDIS.client.get(f"celery-task-meta-{task_id}")
        return text and json.loads(text)

    def finish(self):
        self.send_good()
        wait_until(lambda: all(self.meta(f"good-{i + 1}") for i in range(self.good)),
                   "the good tasks are done")
        for i in range(1, self.good + 1):
            self.assertEqual(self.meta(f"good-{i}")["result"], 2 * i)
        self.assertIsNone(self.worker.process.poll(), self.worker.lines()[-2000:])
        peak = self.worker.peak_kib()
        print(f"peak of the worker: {peak // 1024} MiB")
        self.assertLess(peak, PEAK_KIB)
        status, text = self.worker.end()
        self.assertEqual(status, 128 + signal.SIGTERM, text[-2000:])
        self.assertNotIn("Sanitizer", text)
        left = self.channel.queue_declare(self.queue, passive=True).message_count
        self.assertEqual(left, 0)  # all was acknowledged, or it would be there again
        return text

    def test_what_is_no_task(self):
        rng = random.Random(SEED)
        for content, headers in ((b"", {}), (rng.randbytes(1000), {}), (b"[]", {}), (b"{}", {}),
                                 (b'{"task": "add", "id": "old", "args": [1, 2]}', {})):
            self.send(content, headers)
            self.send_good()
        count = 5
        for _, wrong in wrong_headers():
            headers = message("add", "wrong-header", b"")["headers"] | wrong
            if len(json.dumps(headers)) > FRAME or "NaN" in json.dumps(wrong) or any(
                    isinstance(v, int) and v.bit_length() > 64 for v in wrong.values()):
                continue  # there is no such thing on AMQP; RabbitMQ ends a connection for a NaN
            self.send(body_of(1, 2), headers)
            self.send_good()
            count += 1
        self.assertGreater(count, 50)
        self.finish()
        self.assertEqual(len(REDIS.client.keys("celery-task-meta-*")), self.good)

    def test_tasks_that_cannot_be_done(self):
        expected = {}
        for what, (name, content, headers, _, envelope), outcome in tasks(random.Random(SEED)):
            task_id = str(uuid.uuid4())
            made = message(name, task_id, b"", headers, None, **envelope)
            kind, encoding = made["content-type"], made["content-encoding"]
            text = json.dumps(made["headers"])
            if "body" in envelope or not isinstance(kind, str) or len(kind) > SHORT or \
                    len(text) > FRAME or "\\ud800" in text:
                continue  # there is no such thing on AMQP
            expected[task_id] = what, outcome
            self.send(content, made["headers"], kind, encoding)
            self.send_good()
        self.assertGreater(len(expected), 50)
        wait_until(lambda: all(self.meta(i) for i in expected), "all have an outcome")
        for task_id, (what, outcome) in expected.items():
            with self.subTest(what):
                check_outcome(self, REDIS.client.get(f"celery-task-meta-{task_id}"), outcome)
        self.finish()


if __name__ == "__main__":
    print(f"WEFT_SEED={SEED}", flush=True)
    REDIS = Redis()
    RABBIT = None
    fine = False
    try:
        RABBIT = rabbit.Rabbit()
        fine = unittest.main(exit=False).result.wasSuccessful()
    finally:
        if RABBIT:
            RABBIT.close()
        REDIS.close()
    sys.exit(0 if fine else 1)
