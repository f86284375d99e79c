# SPDX-License-Identifier: MIT
"""What no client sends, at a worker that runs: each message ends as the protocol has it, the tasks
between them are all done, the worker stays up and its memory bounded.

Run by /usr/bin/python3; exits 77 when Debian's python3-redis or redis-server is missing."""
import base64
import json
import os
import random
import signal
import sys
import time
import unittest
import uuid
import zlib

from cluster import (PATIENCE_S, SANITIZED, Redis, Worker, body_of, message, text_of, wait_until)

PROGRAM = sys.argv.pop(1)
SEED = int(os.environ.get("WEFT_SEED", random.randrange(1 << 32)))
DEEP = 100_000
MIB = 1 << 20
# What a packed body may unpack to (message_read.c); a bomb is larger.
UNPACKED_MAX = 128 * MIB
# Two bodies run at a time; the costliest are the two bombs, with 128 and 256 MiB (message_read.c),
# and before and behind them messages of 16 MiB: as text, envelope, values, result and its command up
# to ten times that for one that runs, and three times for one that waits.
PEAK_KIB = (2000 if SANITIZED else 600) * 1024  # sanitizers have memory of their own


def packed(pieces):
    packer = zlib.compressobj(1)
    return b"".join([packer.compress(piece) for piece in pieces] + [packer.flush()])


class Outcome:
    """What is to become of a message: DROPPED and REJECTED store nothing, the others a result."""

    def __init__(self, status, value=None):
        self.status, self.value = status, value


DROPPED = Outcome(None)  # cannot be decoded, or is of no known form


def failure(exc_type, module=None):
    return Outcome("FAILURE", (exc_type, module))


def success(value):
    return Outcome("SUCCESS", value)


def deep(opening, closing, inside=b""):
    return opening * DEEP + inside + closing * DEEP


def wrong_headers():
    """With which a message is no task. Nothing is stored of it: of some the id is what is wrong."""
    for name, wrongs in {
            "task": (None, 1, "", [], {}, True, "a\0b"), "id": (None, 1, "", [], {}, "a\0b"),
            "root_id": (1, [], {}), "parent_id": (1, True), "group": (7, {}),
            "group_index": ("1", -1, 1.5, 10**30, []), "retries": ("0", -1, {}, 1e300, True),
            "timelimit": (1, "1", [1], [1, 2, 3], {"hard": 1}, ["1", None], [-1, None],
                          [float("nan"), None]),
            "ignore_result": ("yes", 1, []),
            "eta": (1700000000, "soon", "", {}, [], "2026-13-01T00:00:00", "2026-02-30T00:00:00",
                    "2026-01-01T25:00:00+99:99", "9" * 100_000),
            "expires": (1700000000, "never", True, {}, "0000-00-00T00:00:00")}.items():
        for wrong in wrongs:
            yield f"{name} is {str(wrong)[:20]!r}", {name: wrong}


def not_messages(rng):
    """Raw texts in the list that are no envelopes of a task."""
    yield "nothing at all", b""
    yield "garbage", rng.randbytes(1000)
    yield "a megabyte of garbage", rng.randbytes(MIB)
    yield "zeros", bytes(1000)
    for text in ("null", "true", "[]", "{}", "3", '"text"', "NaN", "{", '{"body":', "[" * 100):
        yield f"JSON {text[:10]}", text.encode()
    whole = text_of("add", "cut", body_of(1, 2)).encode()
    yield "cut in half", whole[:len(whole) // 2]
    yield "a tail behind it", whole + b"}"
    yield "not UTF-8", whole.replace(b"gen1", b"\xff\xfe\x80\xc0")
    yield "deep arrays", deep(b"[", b"]")
    yield "deep objects", deep(b'{"a":', b"}", b"1")
    yield "deep and never closed", b"[" * DEEP
    for part in ("body", "properties", "headers"):
        one = message("add", "part", body_of(1, 2))
        for wrong in (1, [], True, "text", {}, None):
            if isinstance(one[part], type(wrong)) and part != "headers":
                continue
            if part == "headers" and wrong == "text":
                continue  # below
            yield f"{part} is {wrong!r}", json.dumps(one | {part: wrong}).encode()
    yield "body_encoding", text_of("add", "x", body_of(1, 2),
                                   properties={"body_encoding": "rot13"}).encode()
    yield "headers too deep", text_of("add", "x", body_of(1, 2)).replace(
        '"gen1@test"', deep(b"[", b"]").decode()).encode()
    old = json.dumps({"task": "add", "id": "old", "args": [1, 2], "kwargs": {}, "retries": 0,
                      "eta": None, "expires": None, "utc": True}).encode()
    one = message("add", "old", old)
    yield "protocol 1", json.dumps(one | {"headers": {}}).encode()
    for what, headers in wrong_headers():
        yield what, text_of("add", "wrong-header", body_of(1, 2), headers).encode()


def tasks(rng):
    """(what, keys of message(), outcome). The id is added."""
    def task(what, name, content, outcome, headers=None, properties=None, **envelope):
        return what, (name, content, headers, properties, envelope), outcome

    # Content that is not JSON.
    for kind in ("application/x-python-serialize", "application/x-yaml", "application/x-msgpack",
                 "application/data", "text/plain", "", "x" * 100_000):
        yield task(f"content type {kind[:40]}", "add", b"\x80\x04K\x01.",
                   failure("ContentDisallowed", "kombu.exceptions"), **{"content-type": kind})
    for wrong in (None, 5, []):
        yield task(f"content type {wrong}", "add", body_of(1, 2),
                   failure("ContentDisallowed", "kombu.exceptions"), **{"content-type": wrong})
    yield task("encoding", "add", body_of(1, 2), failure("DecodeError"),
               **{"content-encoding": "utf-16"})
    # Bodies that do not decode.
    yield task("wrong base64", "add", b"", failure("DecodeError"), body="!!!not base64")
    yield task("base64 cut", "add", b"", failure("DecodeError"), body="WzE=WzE")
    for what, body in (("empty", b""), ("garbage", rng.randbytes(500)), ("half", body_of(1, 2)[:20]),
                       ("bare word", b"nil"), ("a tail", body_of(1, 2) + b"]"),
                       ("not UTF-8", b'[["\xff\xfe"], {}, {}]'),
                       ("single quotes", b"[['x'], {}, {}]"), ("trailing comma", b"[[1,2,],{},{}]")):
        yield task(f"body: {what}", "add", body, failure("DecodeError", "kombu.exceptions"))
    for body in (b"{}", b"[]", b"[[1, 2], {}]", b"[[1, 2], {}, {}, {}]", b"null", b"7", b'"x"'):
        yield task(f"body {body}", "add", body, failure("ValueError"))
    for body in (b"[{}, {}, {}]", b"[[1, 2], [], {}]", b"[null, null, null]", b"[[1, 2], {}, 5]",
                 b'[[1, 2], {}, {"callbacks": 1}]', b'[[1, 2], {}, {"chord": []}]',
                 b'[[1, 2], {}, {"chain": "x"}]', b'[[1, 2], {}, {"errbacks": {}}]'):
        yield task(f"body {body}", "add", body, failure("TypeError"))
    # Depth.
    yield task("deep arrays", "echo", b"[[" + deep(b"[", b"]") + b"], {}, {}]",
               failure("RecursionError"))
    yield task("deep objects", "echo", b"[[" + deep(b'{"a":', b"}", b"1") + b"], {}, {}]",
               failure("RecursionError"))
    yield task("deep and never closed", "echo", b"[" * DEEP, failure("RecursionError"))
    yield task("900 levels", "echo", b"[[" + b"[" * 900 + b"]" * 900 + b"], {}, {}]",
               success(json.loads("[" * 900 + "]" * 900)))
    # Packed.
    zipped = {"compression": "application/x-gzip"}
    yield task("packed", "add", zlib.compress(body_of(20, 3)), success(23), zipped)
    yield task("packed rubbish", "add", rng.randbytes(100), failure("DecodeError"), zipped)
    yield task("packed, cut", "add", zlib.compress(body_of(20, 3))[:-8], failure("DecodeError"),
               zipped)
    yield task("unknown packing", "add", body_of(1, 2), failure("DecodeError"),
               {"compression": "application/x-bz2"})
    spaces = b" " * MIB
    bomb = packed([spaces] * (UNPACKED_MAX // MIB + 8))
    yield task("a bomb", "add", bomb, failure("DecodeError"), zipped)
    twice = zlib.compress(bomb)
    yield task("a bomb in a bomb", "add", twice, failure("DecodeError"), zipped)
    few = b"[]," * (MIB // 3)
    yield task("a bomb of small things", "add",
               packed([b"[["] + [few] * (UNPACKED_MAX // MIB - 8) + [b"1], {}, {}]"]),
               failure("DecodeError"), zipped)
    # Arguments.
    yield task("far too many arguments", "add", body_of(*range(100_000)), failure("TypeError"))
    yield task("far too many names", "add", body_of(**{f"k{i}": i for i in range(10_000)}),
               failure("TypeError"))
    yield task("one name twice", "add", b'[[1], {"y": 2, "y": 3}, {}]', success(4))
    yield task("both ways", "add", body_of(1, 2, x=3), failure("TypeError"))
    for wrong in (None, "1", 1.5, [], {}):
        yield task(f"add {wrong!r}", "add", body_of(wrong, 1), failure("TypeError"))
    yield task("a huge integer", "add", body_of(10**4000, 1), failure("OverflowError"))
    yield task("a huge integer echoed", "echo", b"[[" + b"9" * 100_000 + b"], {}, {}]",
               Outcome("SUCCESS", b"9" * 100_000))
    yield task("an infinite sum", "add", b"[[1e400, 1], {}, {}]", failure("TypeError"))
    yield task("no number", "add", b"[[NaN, 1], {}, {}]", failure("TypeError"))
    yield task("no numbers echoed", "echo", b"[[[NaN, Infinity, -Infinity]], {}, {}]",
               Outcome("SUCCESS", b"[NaN,Infinity,-Infinity]"))
    yield task("half a character", "echo", b'[["\\ud800"], {}, {}]',
               Outcome("SUCCESS", b'"\\ud800"'))
    yield task("half a character as a text", "fail", b'[["\\udfff x"], {}, {}]',
               failure("ValueError"))
    yield task("a NUL in a text", "fail", b'[["a\\u0000b"], {}, {}]', failure("ValueError"))
    yield task("a long failure", "fail", body_of("x" * MIB), failure("ValueError"))
    big = "x" * (16 * MIB)
    yield task("16 MiB", "echo", body_of(big), success(big))
    yield task("16 MiB of small things", "add", b"[[" + b"[]," * (16 * MIB // 3) + b"1], {}, {}]",
               failure("TypeError"))
    # Names.
    for name in ("no.such.task", "wfi_celery_message", "wfi_celery_serve", "x" * MIB, "a\nb",
                 "\ud800", " add", "add ", "ADD", "__class__"):
        yield task(f"task {name[:20]!r}", name, body_of(), failure("NotRegistered",
                                                                   "celery.exceptions"))
    # Headers that only tell.
    yield task("what only tells is wrong", "add", body_of(1, 1), success(2),
               {"lang": 5, "argsrepr": [], "kwargsrepr": 1, "origin": {}, "shadow": 7,
                "stamps": "x", "stamped_headers": 1, "unknown": {"a": [None]}})
    yield task("10,000 more headers", "add", body_of(1, 1), success(2),
               {f"h{i}": "v" * 100 for i in range(10_000)})
    yield task("half a character in a header", "add", body_of(1, 1), success(2), {"mine": "\ud800"})
    yield task("properties are wrong", "add", body_of(1, 1), success(2),
               properties={"priority": "high", "delivery_mode": [], "correlation_id": 4,
                           "delivery_info": 3, "reply_to": {}, "expiration": "x"})
    for tag in (None, 5, "", [], {}):
        yield task(f"delivery tag {tag}", "add", body_of(1, 1), success(2),
                   properties={"delivery_tag": tag})
    # Times.
    for eta in ("1970-01-01T00:00:00", "0001-01-01T00:00:00Z", "2026-01-01T00:00:00.000000-11:30"):
        yield task(f"eta {eta}", "add", body_of(1, 1), success(2), {"eta": eta})
    for expires in ("1970-01-01T00:00:00", "2026-01-01T00:00:00.1+00:00"):
        yield task(f"expires {expires}", "add", body_of(1, 1),
                   Outcome("REVOKED", ("TaskRevokedError", "celery.exceptions")),
                   {"expires": expires})
    yield task("expires in ages", "add", body_of(1, 1), success(2),
               {"expires": "9999-12-31T23:59:59+00:00"})
    for limit in ([1e300, None], [0, 0], [None, 1e-300], [5, 100]):
        yield task(f"limits {limit}", "add", body_of(1, 1), None, {"timelimit": limit})


def check_outcome(case, raw, outcome):
    """What is stored against what was expected; None: any end."""
    meta = json.loads(raw)
    if outcome is None:
        case.assertIn(meta["status"], ("SUCCESS", "FAILURE"))
        return
    case.assertEqual(meta["status"], outcome.status, meta["result"])
    if outcome.status != "SUCCESS":
        exc_type, module = outcome.value
        case.assertEqual(meta["result"]["exc_type"], exc_type, meta["result"])
        if module:
            case.assertEqual(meta["result"]["exc_module"], module)
        case.assertIsInstance(meta["result"]["exc_message"], list)
    elif isinstance(outcome.value, bytes):  # JSON that Python would change
        text = json.loads(raw, parse_int=str, parse_constant=str)["result"]
        case.assertEqual(text.encode("utf-8", "surrogatepass"), outcome.value)
    else:
        value = meta["result"]
        case.assertTrue(value == outcome.value or json.loads(value) == outcome.value)


class Hostile(unittest.TestCase):
    def setUp(self):
        SERVER.client.flushall()
        self.worker = Worker(PROGRAM, SERVER.url, SERVER.url, "concurrency=2")
        self.addCleanup(lambda: self.worker.log.closed or self.worker.end(signal.SIGKILL))
        self.good = 0

    def send(self, raw):
        SERVER.client.lpush("celery", raw)

    def send_good(self):
        self.good += 1
        self.send(text_of("add", f"good-{self.good}", body_of(self.good, self.good)))

    def meta(self, task_id):
        text = SERVER.client.get(f"celery-task-meta-{task_id}")
        return text and json.loads(text)

    def finish(self):
        """All good tasks have been done, nothing is left, and the worker is whole."""
        self.send_good()
        wait_until(lambda: all(self.meta(f"good-{i + 1}") for i in range(self.good)),
                   "the good tasks are done")
        for i in range(1, self.good + 1):
            self.assertEqual(self.meta(f"good-{i}")["result"], 2 * i)
        wait_until(lambda: not SERVER.client.exists("celery", "unacked", "unacked_index"),
                   "all is acknowledged")
        self.assertIsNone(self.worker.process.poll(), self.worker.lines()[-2000:])
        peak = self.worker.peak_kib()
        status, text = self.worker.end()
        self.assertEqual(status, 128 + signal.SIGTERM, text[-2000:])
        self.assertNotIn("Sanitizer", text)
        self.assertNotIn("given back", text)
        for line in text[:-1].split("\n"):  # whatever the names and texts in it
            self.assertRegex(line, r"^[IWE] [^\x00-\x1f\x7f]*$")
        return peak, text

    def test_what_is_no_message(self):
        count = 0
        for what, raw in not_messages(random.Random(SEED)):
            self.send(raw)
            self.send_good()
            count += 1
        peak, text = self.finish()
        self.assertEqual(text.count("is dropped"), count)
        self.assertEqual(len(SERVER.client.keys("celery-task-meta-*")), self.good)
        self.assertLess(peak, PEAK_KIB)

    def test_tasks_that_cannot_be_done(self):
        expected = {}
        for what, (name, body, headers, properties, envelope), outcome in tasks(random.Random(SEED)):
            task_id = str(uuid.uuid4())
            expected[task_id] = what, outcome
            self.send(text_of(name, task_id, body, headers, properties, **envelope))
            self.send_good()
        wait_until(lambda: all(self.meta(i) for i in expected), "all have an outcome")
        for task_id, (what, outcome) in expected.items():
            with self.subTest(what):
                check_outcome(self, SERVER.client.get(f"celery-task-meta-{task_id}"), outcome)
        peak, _ = self.finish()
        print(f"peak of the worker: {peak // 1024} MiB")
        self.assertLess(peak, PEAK_KIB)

    def test_one_id_twice(self):
        same = str(uuid.uuid4())
        self.send(text_of("add", "again", body_of(1, 0)))
        wait_until(lambda: self.meta("again"), "the first is done")
        for value in (1, 2, 3):
            self.send(text_of("add", "again", body_of(value, 1)))
            self.send(text_of("add", f"tag-{value}", body_of(value, 0),
                              properties={"delivery_tag": same}))
        SERVER.client.lpush("celery-task-meta-taken", "another type")
        self.send(text_of("add", "taken", body_of(1, 1)))
        _, text = self.finish()
        self.assertEqual(self.meta("again")["result"], 1)  # SUCCESS is final
        self.assertEqual([self.meta(f"tag-{i}")["result"] for i in (1, 2, 3)], [1, 2, 3])
        self.assertIn("its result is lost", text)

    def test_messages_with_changed_bytes(self):
        rng = random.Random(SEED)
        whole = text_of("echo", "changed", body_of([1, {"a": None}], value=2.5)).encode()
        for _ in range(300 if SANITIZED else 2000):
            raw = bytearray(whole)
            for _ in range(rng.randrange(1, 4)):
                at = rng.randrange(len(raw))
                change = rng.randrange(4)
                if change == 0:
                    raw[at] ^= 1 << rng.randrange(8)
                elif change == 1:
                    del raw[at:at + rng.randrange(1, 40)]
                elif change == 2:
                    raw[at:at] = rng.randbytes(rng.randrange(1, 8))
                else:
                    other = rng.randrange(len(raw))
                    raw[at:at] = raw[other:other + 30]
                if not raw:
                    break
            self.send(bytes(raw))
        self.send_good()
        self.finish()

    def test_what_cannot_be_kept_goes_back_too(self):
        """Redis cannot parse it, and so keeps nothing of it; it waits for its time."""
        later = "2099-01-01T00:00:00+00:00"
        for task_id, headers, properties in (
                ("half", {"mine": "\ud800"}, {}), ("untagged", {}, {"delivery_tag": None})):
            self.send(text_of("add", task_id, body_of(1, 1), {"eta": later} | headers, properties))
        self.send_good()
        wait_until(lambda: self.meta("good-1") and not SERVER.client.exists("celery"),
                   "all are taken")
        status, text = self.worker.end()
        self.assertEqual(status, 128 + signal.SIGTERM, text)
        self.assertIn("messages given back: 2 of 2", text)
        ids = sorted(json.loads(raw)["headers"]["id"]
                     for raw in SERVER.client.lrange("celery", 0, -1))
        self.assertEqual(ids, ["half", "untagged"])


if __name__ == "__main__":
    print(f"WEFT_SEED={SEED}", flush=True)
    SERVER = Redis()
    fine = False
    try:
        fine = unittest.main(exit=False).result.wasSuccessful()
    finally:
        SERVER.close()
    sys.exit(0 if fine else 1)
