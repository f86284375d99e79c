# SPDX-License-Identifier: MIT
"""Canvas whose tasks run in turn in a worker in C and in one of Python's.

Both have the same tasks, on the queues "c" and "py" of one Redis, or, with the word "rabbit", of one
RabbitMQ beside it; each signature says to which it goes. Run by /usr/bin/python3, for which Debian's
python3-celery and python3-redis are. Exits 77 when they, or redis-server, are missing."""
import itertools
import os
import random
import signal
import sys
import time
import unittest
import warnings

warnings.simplefilter("ignore")
from cluster import PATIENCE_S, Redis, Worker, wait_until

try:
    import celery
    import celery.exceptions
    from celery import chain, chord, group
except ImportError as error:
    print(f"{error} (Debian: python3-celery)")
    sys.exit(77)


def make_app(broker, backend):
    app = celery.Celery(broker=broker, backend=backend)
    app.conf.update(broker_connection_retry_on_startup=False, worker_prefetch_multiplier=1,
                    task_default_queue="py", result_chord_join_timeout=PATIENCE_S)

    @app.task(name="add")
    def add(x, y):
        return x + y

    @app.task(name="xsum")
    def xsum(numbers):
        return sum(xsum(n) if isinstance(n, list) else n for n in numbers)

    @app.task(name="identity")
    def identity(value):
        return value

    @app.task(name="given")
    def given(*args, **kwargs):
        return args

    @app.task(name="fail")
    def fail(message):
        raise ValueError(message)

    @app.task(name="retry_until", bind=True)
    def retry_until(self, n):
        if self.request.retries >= n:
            return self.request.retries
        raise self.retry(exc=ValueError("not yet"), countdown=0)

    @app.task(name="become", bind=True)
    def become(self, signature):
        raise self.replace(celery.signature(signature, app=app))

    @app.task(name="more", bind=True)
    def more(self, signatures):
        for signature in signatures:
            self.add_to_chord(celery.signature(signature, app=app))
        return 0

    return app


class Case(unittest.TestCase):
    """Each signature that `sig` makes goes to the other worker than the one before."""

    def setUp(self):
        self.queues = itertools.cycle(["c", "py"])
        # Python's worker leaves those of a chord that has failed.
        for key in SERVER.client.keys("celery-taskset-meta-*"):
            SERVER.client.delete(key)

    def sig(self, name, *args, queue=None, **options):
        signature = APP.signature(name, args, **options)
        return signature.set(queue=queue or next(self.queues))

    def both(self, test):
        """Once from each worker on."""
        for first in "c", "py":
            self.queues = itertools.cycle(["c", "py"] if first == "c" else ["py", "c"])
            with self.subTest(first=first):
                test()

    def get(self, signature, **options):
        return signature.apply_async(**options).get(PATIENCE_S)

    def fails(self, result, text, kind=Exception):
        with self.assertRaises(kind) as caught:
            result.get(PATIENCE_S)
        self.assertIn(text, str(caught.exception))

    def nothing_is_left(self):
        wait_until(lambda: not SERVER.client.keys("celery-taskset-meta-*.[jst]"), "chords forgotten")


class Chains(Case):
    def test_a_chain(self):
        self.both(lambda: self.assertEqual(self.get(chain(
            self.sig("add", 1, 2), self.sig("add", 3), self.sig("add", 4), self.sig("add", 5),
            self.sig("add", 6))), 21))

    def test_parents_and_children(self):
        result = chain(self.sig("add", 1, 2), self.sig("add", 3), self.sig("add", 4)).apply_async()
        self.assertEqual(result.get(PATIENCE_S), 10)
        values, at = [], result
        while at:
            values.append(at.get(PATIENCE_S))
            at = at.parent
        self.assertEqual(values, [10, 6, 3])
        first = result.parent.parent
        self.assertEqual([v for _, v in first.collect()], [3, 6, 10])
        self.assertEqual(first.children[0].id, result.parent.id)

    def test_immutable_tasks_take_nothing(self):
        self.both(lambda: self.assertEqual(self.get(chain(
            self.sig("add", 1, 2), self.sig("add", 5, 5, immutable=True),
            self.sig("given", immutable=True))), []))

    def test_the_rest_of_a_chain_fails_with_its_middle(self):
        def test():
            result = chain(self.sig("add", 1, 2), self.sig("fail", "boom", immutable=True),
                           self.sig("add", 1), self.sig("add", 2)).apply_async()
            self.fails(result, "boom", ValueError)
            wait_until(lambda: result.state == "FAILURE", "the last has failed, too")
        self.both(test)

    def test_chains_in_chains(self):
        self.both(lambda: self.assertEqual(self.get(chain(
            self.sig("add", 1, 1), chain(self.sig("add", 2), chain(self.sig("add", 3),
                                                                   self.sig("add", 4))),
            self.sig("add", 5))), 16))


class Links(Case):
    def test_callbacks(self):
        def test():
            task = self.sig("add", 1, 2)
            links = [self.sig("add", n) for n in (10, 20, 30)]
            for link in links:
                task.link(link)
            result = task.apply_async()
            self.assertEqual(result.get(PATIENCE_S), 3)
            wait_until(lambda: result.children, "children")
            self.assertEqual(sorted(v for _, v in result.collect() if isinstance(v, int)),
                             [3, 13, 23, 33])
        self.both(test)

    def test_a_group_as_callback(self):
        def test():
            task = self.sig("add", 1, 2)
            task.link(group(self.sig("add", 10), self.sig("add", 20)))
            result = task.apply_async()
            self.assertEqual(result.get(PATIENCE_S), 3)
            self.assertEqual(result.children[0].get(PATIENCE_S), [13, 23])
        self.both(test)

    def test_errbacks(self):
        def test():
            # A name that Python's worker does not have is sent, and not called where it fails.
            back = APP.signature("given", task_id=celery.uuid()).set(queue="c")
            task = self.sig("fail", "boom")
            if task.options["queue"] == "py":
                back["task"] = "celery.accumulate"
            task.link_error(back)
            result = task.apply_async()
            self.fails(result, "boom", ValueError)
            told = APP.AsyncResult(back.options["task_id"]).get(PATIENCE_S)
            self.assertEqual(told, [result.id])
        self.sig("add")
        test()

    def test_an_errback_of_a_task_that_is_not_there(self):
        back = self.sig("given", queue="c").set(task_id=celery.uuid())
        result = APP.signature("no.such.task").set(queue="c", link_error=[back]).apply_async()
        self.fails(result, "no.such.task", celery.exceptions.NotRegistered)
        self.assertEqual(APP.AsyncResult(back.options["task_id"]).get(PATIENCE_S), [result.id])

    @unittest.skipIf("rabbit" in sys.argv, "it takes any queue")
    def test_what_can_never_be_sent_is_a_failure(self):
        SERVER.client.set("broken", "no list")
        back = self.sig("given", queue="c").set(task_id=celery.uuid())
        task = self.sig("add", 1, 1, queue="c").set(link_error=[back])
        task.link(self.sig("add", 1, queue="broken"))
        result = task.apply_async()
        self.fails(result, "sending add")
        self.assertEqual(APP.AsyncResult(back.options["task_id"]).get(PATIENCE_S), [result.id])

    def test_a_link_that_is_none(self):
        task = APP.signature("add", (1, 1)).set(queue="c")
        task.options["link"] = [{"task": 5}]
        self.fails(task.apply_async(), "", ValueError)

    def test_an_expired_task_fails_its_chain(self):
        task = self.sig("add", 1, 1, queue="c").set(expires=-1)
        result = chain(task, self.sig("add", 1), self.sig("add", 1)).apply_async()
        self.fails(result, "expired", celery.exceptions.TaskRevokedError)


class Groups(Case):
    def test_a_group(self):
        self.both(lambda: self.assertEqual(
            self.get(group(self.sig("add", i, i) for i in range(8))), [i + i for i in range(8)]))

    def test_an_empty_group(self):
        self.assertEqual(self.get(group([])), [])
        self.assertEqual(self.get(chord([], self.sig("xsum", queue="c"))), 0)

    def test_a_chain_that_ends_in_a_group(self):
        self.both(lambda: self.assertEqual(self.get(chain(
            self.sig("add", 1, 2), group(self.sig("add", 10), self.sig("add", 20),
                                         self.sig("add", 30)))), [13, 23, 33]))

    def test_chains_in_a_group(self):
        self.both(lambda: self.assertEqual(self.get(group(
            chain(self.sig("add", i, 1), self.sig("add", 2), self.sig("add", 3))
            for i in range(5))), [i + 6 for i in range(5)]))


class Chords(Case):
    def test_a_chord(self):
        def test():
            self.assertEqual(self.get(chord([self.sig("add", i, i) for i in range(7)],
                                            self.sig("identity"))), [i + i for i in range(7)])
            self.nothing_is_left()
        self.both(test)

    def test_chains_as_parts(self):
        def test():
            self.assertEqual(self.get(chord(
                [chain(self.sig("add", i, 1), self.sig("add", 2), self.sig("add", 3))
                 for i in range(4)], self.sig("identity"))), [6, 7, 8, 9])
            self.nothing_is_left()
        self.both(test)

    def test_a_chord_within_a_chain(self):
        self.both(lambda: self.assertEqual(self.get(chain(
            self.sig("add", 1, 2), group(self.sig("add", 10), self.sig("add", 20),
                                         self.sig("add", 30)),
            self.sig("identity"), self.sig("xsum"), self.sig("add", 1))), 70))

    def test_groups_one_after_another(self):
        self.both(lambda: self.assertEqual(self.get(chain(
            group(self.sig("add", 1, 1), self.sig("add", 2, 2)),
            group(self.sig("xsum"), self.sig("xsum")),
            self.sig("identity"), self.sig("xsum"))), 12))

    def test_chords_as_parts(self):
        def test():
            inner = [chord([self.sig("add", i, k) for k in range(3)], self.sig("xsum"))
                     for i in range(3)]
            self.assertEqual(self.get(chord(inner, self.sig("identity"))), [3, 6, 9])
            self.nothing_is_left()
        self.both(test)

    def test_a_chord_as_body(self):
        def test():
            body = chord([self.sig("xsum"), self.sig("xsum")], self.sig("identity"))
            self.assertEqual(self.get(chord([self.sig("add", 1, 2), self.sig("add", 3, 4)], body)),
                             [10, 10])
            self.nothing_is_left()
        self.both(test)

    def test_a_chain_as_body(self):
        self.both(lambda: self.assertEqual(self.get(chord(
            [self.sig("add", 1, 2), self.sig("add", 3, 4)],
            chain(self.sig("xsum"), self.sig("add", 1), self.sig("add", 1)))), 12))

    def test_a_group_as_body(self):
        self.both(lambda: self.assertEqual(self.get(chord(
            [self.sig("add", 1, 2), self.sig("add", 3, 4)],
            group(self.sig("xsum"), self.sig("identity")))), [10, [3, 7]]))

    def test_groups_within_groups(self):
        def test():
            self.assertEqual(self.get(chord(
                [self.sig("add", 0, 1), group(self.sig("add", 0, 2), self.sig("add", 0, 3))],
                self.sig("xsum"))), 6)
            self.nothing_is_left()
        self.both(test)
        # Python counts the leaves of this, and saves the group to give the results its form. Where
        # its worker sends the inner group it sets the chord's size anew, and may wait for ever.
        for _ in range(3):
            self.assertEqual(self.get(chord(
                [chain(self.sig("add", 0, 1, queue="c"),
                       group(self.sig("add", 1), self.sig("add", 2))), self.sig("add", 4, 4)],
                self.sig("xsum"))), 13)
            self.nothing_is_left()

    def test_a_part_that_fails(self):
        def test():
            body = self.sig("xsum").set(task_id=celery.uuid())
            back = self.sig("celery.accumulate", queue="c").set(task_id=celery.uuid())
            body.link_error(back)
            last = self.sig("add", 3, 4)
            result = chord([self.sig("add", 1, 2), self.sig("fail", "boom"), last], body)()
            self.fails(APP.AsyncResult(result.id), "boom", celery.exceptions.ChordError)
            if last.options["queue"] == "c":
                told = APP.AsyncResult(back.options["task_id"]).get(PATIENCE_S)
                self.assertEqual(told, [result.id])
        self.both(test)

    def test_a_chain_as_part_that_fails(self):
        def test():
            result = chord([self.sig("add", 1, 2),
                            chain(self.sig("fail", "boom"), self.sig("add", 1),
                                  self.sig("add", 1))], self.sig("xsum"))()
            self.fails(APP.AsyncResult(result.id), "boom", celery.exceptions.ChordError)
        self.both(test)

    def test_a_part_that_is_not_there(self):
        result = chord([self.sig("add", 1, 2), self.sig("no.such.task", queue="c")],
                       self.sig("xsum"))()
        self.fails(APP.AsyncResult(result.id), "NotRegistered", celery.exceptions.ChordError)

    def test_a_thousand_parts(self):
        result = chord([self.sig("add", i, i) for i in range(1000)], self.sig("xsum", queue="c"))()
        self.assertEqual(APP.AsyncResult(result.id).get(PATIENCE_S), 999 * 1000)
        self.nothing_is_left()


class SameTaskAgain(Case):
    def test_retries(self):
        def test():
            result = self.sig("retry_until", 2).apply_async()
            self.assertEqual(result.get(PATIENCE_S), 2)
            self.assertEqual(self.get(chain(self.sig("retry_until", 2), self.sig("add", 1))), 3)
            self.assertEqual(self.get(chord(
                [self.sig("retry_until", 1), self.sig("retry_until", 2)], self.sig("xsum"))), 3)
            self.fails(self.sig("retry_until", 9).apply_async(), "not yet", ValueError)
        self.both(test)

    def test_replacing(self):
        def test():
            other = self.sig("add", 40, 2)
            self.assertEqual(self.get(self.sig("become", other)), 42)
            self.assertEqual(self.get(chain(self.sig("become", other), self.sig("add", 1))), 43)
            self.assertEqual(self.get(chord([self.sig("become", other), self.sig("add", 1, 1)],
                                            self.sig("identity"))), [42, 2])
            several = chain(self.sig("add", 1, 2), self.sig("add", 3))
            self.assertEqual(self.get(chain(self.sig("become", several), self.sig("add", 1))), 7)
            self.assertEqual(self.get(self.sig("become", self.sig("become", other))), 42)
        self.both(test)

    def test_replacing_by_a_group(self):
        def test():
            several = group(self.sig("add", 1, 2), self.sig("add", 3, 4))
            self.assertEqual(self.get(self.sig("become", several)), [3, 7])
            both = chord([self.sig("add", 1, 2), self.sig("add", 3, 4)], self.sig("xsum"))
            self.assertEqual(self.get(self.sig("become", both)), 10)
        self.both(test)

    def test_adding_parts(self):
        def test():
            added = [self.sig("add", 10, i) for i in range(3)]
            self.assertEqual(self.get(chord([self.sig("add", 1, 1), self.sig("more", added)],
                                            self.sig("xsum"))), 35)
            # They stand with the one that has added them.
            values = self.get(chord([self.sig("more", added), self.sig("add", 1, 1)],
                                    self.sig("identity")))
            self.assertEqual(values[-1], 2)
            self.assertEqual(sorted(values), [0, 2, 10, 11, 12])
            self.nothing_is_left()
        self.both(test)


class Builtin(Case):
    def test_maps(self):
        # Their own options are not looked at when they are sent.
        add, given, fail = (APP.tasks[name] for name in ("add", "given", "fail"))
        numbers = [(i, i) for i in range(10)]
        sums = [i + i for i in range(10)]
        self.assertEqual(self.get(add.starmap(numbers), queue="c"), sums)
        self.assertEqual(self.get(given.map([1, "a", [2]]), queue="c"), [[1], ["a"], [[2]]])
        self.assertEqual(self.get(given.map([]), queue="c"), [])
        self.assertEqual(self.get(add.chunks(numbers, 4).group(), queue="c"),
                         [sums[:4], sums[4:8], sums[8:]])
        for wrong, kind in [(add.starmap([(1, 2), (1,)]), TypeError), (add.starmap([1]), TypeError),
                            (fail.map(["a"]), ValueError)]:
            with self.assertRaises(kind):
                self.get(wrong, queue="c")
        with self.assertRaises(celery.exceptions.NotRegistered):
            self.get(APP.signature("celery.map", kwargs={"task": {"task": "no.such"}, "it": [1]}),
                     queue="c")

    def test_what_others_are_sent_as_tasks(self):
        def call(name, **kwargs):
            return APP.send_task(name, kwargs=kwargs, queue="c").get(PATIENCE_S)
        parts = [self.sig("add", 1, 2), self.sig("add", 3, 4)]
        self.assertEqual(call("celery.group", tasks=parts), [3, 7])
        self.assertEqual(call("celery.chain", tasks=[parts[0], self.sig("add", 1)]), 4)
        self.assertEqual(call("celery.chord", header=parts, body=self.sig("xsum")), 10)
        self.assertEqual(call("celery.chunks", task=self.sig("add"), it=[[1, 1], [2, 2], [3, 3]],
                              n=2), [[2, 4], [6]])
        self.assertIsNone(call("celery.backend_cleanup"))
        self.assertEqual(APP.send_task("celery.accumulate", (1, 2), {"index": 1},
                                       queue="c").get(PATIENCE_S), 2)


@unittest.skipIf("rabbit" in sys.argv, "it looks into Redis's queues")
class Killed(Case):
    def test_chords_whose_workers_are_killed(self):
        """Late acknowledgement: all end, with the right values, whoever dies between any two steps
        of an end."""
        rng = random.Random(SEED)
        words = [PROGRAM, SERVER.url, SERVER.url, "late", "late", "visibility=1"]

        def sig(name, *args):
            return self.sig(name, *args, queue="late")

        results, workers, kills = [], [Worker(*words) for _ in range(3)], 0
        end = time.monotonic() + PATIENCE_S
        while kills < 5 or SERVER.client.exists("late", "unacked"):
            self.assertLess(time.monotonic(), end, f"{kills} workers killed, {len(results)} chains "
                            f"begun, {SERVER.client.llen('late')} messages wait")
            if not SERVER.client.exists("late", "unacked"):  # until enough was killed
                for n in range(len(results), len(results) + 10):
                    results.append(chain(sig("slow_add", n, 1), group(
                        chain(sig("slow_add", i), sig("slow_add", 1)) for i in range(40)),
                        sig("identity"), group(sig("xsum"), sig("identity"))).apply_async())
            time.sleep(rng.uniform(0.03, 0.25))
            if kills < 15:
                at = rng.randrange(3)
                workers[at].end(signal.SIGKILL)
                workers[at] = Worker(*words)
                kills += 1
        for n, result in enumerate(results):
            expected = [n + 1 + i + 1 for i in range(40)]
            self.assertEqual(result.get(PATIENCE_S), [sum(expected), expected])
        for worker in workers:
            status, text = worker.end()
            self.assertEqual(status, 128 + signal.SIGTERM, text[-2000:])
        print(f"{len(results)} chains, {kills} workers killed")


@unittest.skipUnless("rabbit" in sys.argv, "there is no RabbitMQ")
class Rpc(Case):
    """Results by rpc://: whoever sent the first task hears of all that follow from it."""

    def test_what_follows_answers_to_the_client(self):
        worker = Worker(PROGRAM, APP.conf.broker_url, "rpc://", "rpc")
        app = make_app(APP.conf.broker_url, "rpc://")

        def sig(name, *args, **options):
            return app.signature(name, args, app=app, **options).set(queue="rpc")

        def get(signature):
            return signature.apply_async().get(PATIENCE_S)

        self.assertEqual(get(chain(sig("add", 1, 2), sig("add", 3), sig("add", 4))), 10)
        self.assertEqual(get(sig("become", sig("add", 40, 2))), 42)
        self.assertEqual(get(chain(sig("become", sig("add", 40, 2)), sig("add", 1))), 43)
        self.assertEqual(get(sig("retry_until", 2)), 2)
        self.assertEqual(get(chain(sig("add", 1, 2), group(sig("add", 1), sig("add", 2)))), [4, 5])
        with self.assertRaises(ValueError):
            get(chain(sig("add", 1, 2), sig("fail", "boom", immutable=True), sig("add", 1)))
        several = group(sig("add", 1, 2), sig("add", 3, 4))
        with self.assertRaises(NotImplementedError):  # it would be a chord
            get(sig("become", several))
        status, text = worker.end()
        self.assertEqual(status, 128 + signal.SIGTERM, text[-2000:])
        self.assertNotIn("Sanitizer", text)
        app.close()


def serve_python(broker, backend):
    make_app(broker, backend).worker_main(["worker", "-Q", "py", "-c", "2", "-P", "prefork", "-l", "info",
                               "--without-gossip", "--without-mingle", "--without-heartbeat"])


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve_python(*sys.argv[2:])
        sys.exit(0)
    PROGRAM = sys.argv.pop(1)
    SEED = int(os.environ.get("WEFT_SEED", random.randrange(1 << 32)))
    print(f"WEFT_SEED={SEED}")
    rabbit = None
    if "rabbit" in sys.argv:
        sys.argv.remove("rabbit")
        from rabbit import Rabbit
        rabbit = Rabbit()
    SERVER = Redis()
    urls = [rabbit.url if rabbit else SERVER.url, SERVER.url]
    APP = make_app(*urls)
    workers = [Worker(PROGRAM, *urls, "c"),
               Worker(sys.executable, "-W", "ignore", __file__, "serve", *urls)]
    fine = False
    try:
        fine = unittest.main(exit=False).result.wasSuccessful()
        status, text = workers[0].end()
        fine = fine and status == 128 + signal.SIGTERM and "Sanitizer" not in text and \
            SERVER.client.hlen("unacked") == 0
        if not fine:
            print(text[-20000:])
            print(workers[1].lines()[-20000:] if os.environ.get("CANVAS_PYTHON") else "")
    finally:
        for worker in workers:
            if not worker.log.closed:
                worker.end(signal.SIGKILL)
        SERVER.close()
        if rabbit:
            rabbit.close()
        sys.stdout.flush()
        sys.stderr.flush()
        # Not by the usual way: results that are still there would ask Redis for half a minute.
        os._exit(0 if fine else 1)
