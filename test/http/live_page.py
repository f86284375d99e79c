#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The live page in a browser: weft serve --demo, its /debug/ opened in Debian's Chromium, which is
driven through the DevTools protocol over a pipe. The page is looked at by conditions on its DOM,
not by waiting for a time. A picture of it is left in the build folder, for people."""
import base64
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request

from weft import PATIENCE_S, PROGRAM

PICTURES = os.path.join(os.path.dirname(os.path.abspath(PROGRAM)), "live_page")


def skip(why):
    print(why)
    sys.exit(77)


class Browser:
    """A Chromium of its own, with one page; messages are JSON that end with a NUL."""

    def __init__(self, program, home):
        ours, theirs = os.pipe(), os.pipe()  # to it, from it
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                   "--no-first-run", "--disable-background-networking", "--disable-sync",
                   "--disable-component-update", "--disable-default-apps", "--disable-extensions",
                   "--metrics-recording-only", "--no-default-browser-check", "--mute-audio",
                   "--window-size=1440,1400", "--remote-debugging-pipe",
                   "--user-data-dir=" + home, "about:blank"]
        # The browser reads descriptor 3 and writes 4; these are others until then.
        reads, writes = (fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (ours[0], theirs[1]))
        script = (f"import os, sys; os.dup2({reads}, 3); os.dup2({writes}, 4); "
                  f"os.close({reads}); os.close({writes}); os.execvp(sys.argv[1], sys.argv[1:])")
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, program, *options], pass_fds=(reads, writes),
            env={**os.environ, "HOME": home}, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for fd in (ours[0], theirs[1], reads, writes):
            os.close(fd)
        self.to, self.answers = os.fdopen(ours[1], "wb"), os.fdopen(theirs[0], "rb")
        self.number, self.session, self.rest = 0, None, b""
        self.requests, self.complaints = [], []

    def receive(self):
        while b"\0" not in self.rest:
            more = self.answers.read1(1 << 16)
            if not more:
                raise EOFError("the browser has gone")
            self.rest += more
        text, self.rest = self.rest.split(b"\0", 1)
        message = json.loads(text)
        method, params = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(params["exceptionDetails"]["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.complaints.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])
        return message

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        self.to.write(json.dumps(message).encode() + b"\0")
        self.to.flush()
        while True:
            answer = self.receive()
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]

    def open(self):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target,
                                 flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def value(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True,
                           returnByValue=True)
        if "exceptionDetails" in result:
            raise AssertionError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def until(self, condition):
        """Waits until the condition holds; it is looked at after each change of the page."""
        held = self.value(f"""new Promise((resolve) => {{
          const holds = () => {{ try {{ return {condition}; }} catch (e) {{ return false; }} }};
          if (holds()) return resolve(true);
          const observer = new MutationObserver(() => {{
            if (holds()) {{ observer.disconnect(); resolve(true); }}
          }});
          observer.observe(document, {{ subtree: true, childList: true, attributes: true,
                                       characterData: true }});
          setTimeout(() => {{ observer.disconnect(); resolve(false); }}, {PATIENCE_S} * 1000);
        }})""")
        if not held:
            page = self.value("document.body.innerText")
            raise AssertionError(f"never: {condition}\n{page}\n{self.complaints}")

    def picture(self, name):
        os.makedirs(PICTURES, exist_ok=True)
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True,
                         clip={"x": 0, "y": 0, "width": size["width"], "height": size["height"],
                               "scale": 1})
        data = base64.b64decode(shot["data"])
        assert data.startswith(b"\x89PNG") and len(data) > 10000, len(data)
        with open(os.path.join(PICTURES, name + ".png"), "wb") as file:
            file.write(data)

    def close(self):
        try:
            self.session = None
            self.call("Browser.close")
        except (OSError, EOFError, AssertionError):
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # what it may have left
        except ProcessLookupError:
            pass
        self.process.wait()
        self.answers.close()
        try:
            self.to.close()
        except BrokenPipeError:
            pass


class Clients:
    """Ask the demo all the time, so that some of its tasks always run."""

    def __init__(self, address, count):
        self.address, self.over, self.answered = address, threading.Event(), 0
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.ask) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def ask(self):
        while not self.over.is_set():
            with urllib.request.urlopen(self.address, timeout=60) as answer:
                assert answer.status == 200
                answer.read()
            with self.lock:
                self.answered += 1

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()


def number(browser, where):
    return int(browser.value(f"document.getElementById('{where}').textContent.replace(/,/g, '')"))


def cells(table, text):
    """A condition: a row of the table has a cell with this text."""
    return (f"[...document.querySelectorAll('#{table} tr')].some((row) => "
            f"[...row.cells].some((cell) => cell.textContent === {json.dumps(text)}))")


def check_page(browser, address, clients):
    browser.call("Page.navigate", url=address + "debug/")
    browser.until("document.getElementById('status').textContent === 'live'")
    # A task of the demo is seen as it sleeps on a thread.
    browser.until(cells("tasks", "read_api") + " && " + cells("groups", "read_api"))
    browser.until("[...document.querySelectorAll('#tasks tr')].some((row) => "
                  "row.cells[0].textContent === 'read_api' && row.cells[5].textContent === 'sleep')")
    browser.until(cells("workers", "weft_0") + " && " + cells("executors", "weft"))
    # What is counted grows while requests are answered; rates need two snapshots.
    browser.until("Number(document.body.dataset.shown) >= 2")
    before, answered = number(browser, "requests"), clients.answered
    assert before > 0
    browser.until(f"Number(document.getElementById('requests').textContent.replace(/,/g, '')) > "
                  f"{before + 3}")
    assert clients.answered > answered
    browser.until("parseFloat(document.getElementById('requests-rate').textContent) > 0")
    browser.until("document.getElementById('p99').textContent.endsWith(' ms')")
    browser.until("document.querySelectorAll('#rate-chart polyline').length > 0")
    assert number(browser, "open") >= 1


def check_use(browser):
    # The filter leaves what it names; the pause stops the stream, and it goes on.
    browser.value("{ const filter = document.getElementById('filter'); filter.value = 'read_db';"
                  " filter.dispatchEvent(new Event('input')); }")
    browser.until("[...document.querySelectorAll('#tasks tr')].every((row) => "
                  "row.cells.length === 1 || row.cells[0].textContent.startsWith('read_db'))")
    browser.value("document.getElementById('filter').value = ''")
    browser.value("document.getElementById('pause').click()")
    assert browser.value("document.getElementById('status').textContent") == "paused"
    shown = browser.value("document.body.dataset.shown")
    browser.value("document.getElementById('pause').click()")
    browser.until(f"Number(document.body.dataset.shown) > {shown}")
    browser.until("document.getElementById('status').textContent === 'live'")


def check_looks(browser):
    browser.until("Number(document.body.dataset.shown) >= 4")  # so that the charts have lines
    for scheme in ("light", "dark"):
        browser.call("Emulation.setEmulatedMedia",
                     features=[{"name": "prefers-color-scheme", "value": scheme}])
        browser.picture(scheme)
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = browser.value(ground)
    browser.call("Emulation.setEmulatedMedia", features=[])
    browser.call("Emulation.setDeviceMetricsOverride", width=420, height=900, deviceScaleFactor=1,
                 mobile=True)
    browser.picture("narrow")
    wide = browser.value("document.documentElement.scrollWidth")
    assert wide <= 420, f"the page is {wide} wide on a narrow screen"
    assert dark != browser.value(ground), "dark is as light"
    browser.call("Emulation.clearDeviceMetricsOverride")


def main():
    program = shutil.which("chromium")
    if not program:
        skip("there is no chromium here (Debian: chromium)")
    server = subprocess.Popen([PROGRAM, "serve", "--demo", "--listen", "127.0.0.1:0"],
                              stdout=subprocess.PIPE, text=True)
    browser = clients = None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        try:
            address = server.stdout.readline().strip()
            assert address.startswith("http://127.0.0.1:"), address
            clients = Clients(address, 4)
            browser = Browser(program, home)
            browser.open()
            check_page(browser, address, clients)
            check_looks(browser)
            check_use(browser)
            assert not browser.complaints, browser.complaints
            strangers = [url for url in browser.requests if not url.startswith(address)]
            assert not strangers, strangers
            assert any(url.endswith("/debug/events") for url in browser.requests)
        finally:
            if clients:
                clients.stop()
            if browser:
                browser.close()
            server.send_signal(signal.SIGTERM)
            status = server.wait(60)
            server.stdout.close()
    assert status == 0, status


main()
