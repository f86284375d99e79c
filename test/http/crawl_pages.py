# SPDX-License-Identifier: MIT
"""weft crawl against the test site's manifest: the same pages on every engine, each fetched once."""
import json
import os
import tempfile
import unittest
import urllib.parse

import weft

PAGES = int(os.environ.get("WEFT_CRAWL_PAGES", 400 if weft.SANITIZED else 2000))
POSTS = ("--select", "href=a.post-item-title@href", "--select", "title=a.post-item-title")


def expected(manifest, base):
    """What the manifest says of each URL, as it should stand in the records."""
    pages = {}
    for page in manifest["urls"]:
        location = page.get("location")
        if location is not None:
            location = urllib.parse.urljoin(base, location)
        pages[urllib.parse.urljoin(base, page["path"])] = (
            page["status"], page["title"], page["links"], location, page.get("posts"))
    return pages


def found(test, records, with_posts):
    pages = {}
    for record in records:
        test.assertNotIn(record["url"], pages, "one URL, two records")
        test.assertNotIn("error", record)
        location = record.get("location")
        if location is not None:
            location = urllib.parse.urldefrag(location)[0]
        fields, posts = record["fields"], None
        if with_posts and record["status"] == 200:
            test.assertEqual(len(fields["href"]), len(fields["title"]))
            posts = [list(pair) for pair in zip(fields["href"], fields["title"])]
        pages[record["url"]] = (record["status"], record["title"], record["links"], location, posts)
    return pages


class Pages(unittest.TestCase):
    def crawl(self, site, engine, *options):
        with tempfile.TemporaryDirectory() as folder:
            path, figures = os.path.join(folder, "out"), os.path.join(folder, "figures")
            ran = weft.run("crawl", "--engine", engine, "-q", "-o", path, "--stats-json", figures,
                           *options, site.url)
            self.assertEqual((ran.status, ran.err), (0, b""))
            with open(path, "rb") as file:
                records = weft.read_records(file.read())
            with open(figures) as file:
                return records, json.load(file)

    def check_site(self, engine, kind, pages, *options, with_posts=False):
        with weft.Site(kind, pages) as site:
            records, told = self.crawl(site, engine, *options)
            stats = site.stats()
            self.assertEqual(found(self, records, with_posts), expected(site.manifest(), site.url))
        self.assertEqual(stats["urls_fetched_twice"], 0, stats["fetched_twice"])
        self.assertEqual(stats["unknown"], 0)
        self.assertEqual(stats["requests"], len(records))
        in_flight = {"single": 1, "threads": 16, "fibers": 64, "processes": 8}[engine]
        self.assertLessEqual(stats["connections_max"], in_flight)
        self.assertLessEqual(told["in_flight_max"], in_flight)
        self.assertEqual(told["connections_opened"], stats["connections_total"] - 1)  # and stats
        self.assertEqual(told["connections_opened"] + told["connections_reused"], len(records))
        self.assertEqual((told["pages"], told["fetched"], told["errors"], told["queued"]),
                         (len(records), len(records), 0, 0))
        return records, told

    def test_blog_gives_its_50_pages_and_their_posts_on_each_engine(self):
        for engine in weft.ENGINES:
            with self.subTest(engine):
                records, _ = self.check_site(engine, "blog", 50, *POSTS, with_posts=True)
                lists = [r for r in records if "/sitehome/p/" in r["url"]]
                self.assertEqual(len(lists), 50)
                self.assertTrue(all(len(r["fields"]["href"]) == 20 for r in lists))

    def test_deep_gives_the_manifest_in_little_memory_over_few_connections(self):
        for engine in weft.ENGINES:
            with self.subTest(engine):
                _, told = self.check_site(engine, "deep", PAGES)
                if not weft.SANITIZED:
                    self.assertGreater(told["memory_peak_bytes"], 1 << 20)
                    self.assertLess(told["memory_peak_bytes"], 64 << 20)
                self.assertLessEqual(told["connections_opened"], 2 * told["concurrency"])

    def test_fragments_and_spellings_of_the_seeds_are_one_page(self):
        with weft.Site("blog", 50) as site:
            urls = [f"{site.url}#p{n}" for n in range(1, 51)]
            urls += [site.url.replace("http", "HTTP"), site.url + "x/../", site.url.rstrip("/")]
            ran = weft.run("crawl", "--depth", "0", "-q", *urls)
            self.assertEqual(ran.status, 0)
            self.assertEqual([r["url"] for r in weft.read_records(ran.out)], [site.url])
            self.assertEqual(site.stats()["requests"], 1)

    def test_50_slow_pages_are_fetched_together(self):
        def check(engine):
            # Long enough for all to be on their way before the first is answered, on a busy machine too.
            delay = 1000
            with weft.Site("latency", 50, delay=delay) as site:
                urls = [urllib.parse.urljoin(site.url, page["path"])
                        for page in site.manifest()["urls"] if page["path"] != "/"]
                self.assertEqual(len(urls), 50)
                ran = weft.run("crawl", "--engine", engine, "-c", "50", "--depth", "0", "-q", *urls)
                self.assertEqual(ran.status, 0)
                self.assertEqual(len(weft.read_records(ran.out)), 50)
                self.assertEqual(site.stats()["in_flight_max"], 50)
                self.assertGreaterEqual(ran.seconds, 1)
                if not weft.SANITIZED:
                    self.assertLess(ran.seconds, 10)  # one after another: 50
        weft.together(check, "threads", "fibers")

    def test_a_depth_limit_cuts_the_same_pages_on_each_engine(self):
        with weft.Site("deep", PAGES) as site:
            cuts = []
            for engine in weft.ENGINES:
                records, _ = self.crawl(site, engine, "--depth", "2")
                self.assertLessEqual(max(r["depth"] for r in records), 2)
                cuts.append(sorted((r["url"], r["depth"]) for r in records))
            for cut in cuts[1:]:
                self.assertEqual(cuts[0], cut)
            self.assertLess(20, len(cuts[0]))
            self.assertLess(len(cuts[0]), PAGES)

    def test_max_pages_is_a_limit(self):
        with weft.Site("deep", 400) as site:
            for engine in weft.ENGINES:
                records, _ = self.crawl(site, engine, "--max-pages", "30")
                self.assertEqual(len([r for r in records if "location" not in r]), 30)


if __name__ == "__main__":
    weft.main()
