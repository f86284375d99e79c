# SPDX-License-Identifier: MIT
"""A RabbitMQ of a test's own: Debian's rabbitmq-server with its files in a temporary folder, on free
ports of the loopback address, with a port mapper of its own. It takes some seconds to start.

The importing program exits 77 when it is missing."""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
# A child is killed when the test ends, however that comes.
WITH_US = ["setpriv", "--pdeathsig", "KILL"]

if not os.access(SERVER, os.X_OK):
    print("there is no RabbitMQ (Debian: rabbitmq-server)")
    sys.exit(77)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Rabbit:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="weft-rabbit-")
        self.process = self.mapper = None
        for attempt in range(3):  # somebody may take a port meanwhile
            self.ports = free_ports(3)
            try:
                self.start()
                break
            except RuntimeError:
                self.kill()
                if attempt == 2:
                    raise
        self.url = f"amqp://guest:guest@127.0.0.1:{self.ports[0]}//"

    def environment(self):
        at = {"HOME": "", "RABBITMQ_BASE": "", "RABBITMQ_MNESIA_BASE": "/m",
              "RABBITMQ_LOG_BASE": "/l", "RABBITMQ_LOGS": "/log",
              "RABBITMQ_ENABLED_PLUGINS_FILE": "/plugins", "RABBITMQ_CONF_ENV_FILE": "/none",
              "RABBITMQ_CONFIG_FILE": "/none"}
        return dict({k: v for k, v in os.environ.items() if k in ("PATH", "LANG")},
                    RABBITMQ_NODENAME="weft@localhost", RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
                    RABBITMQ_NODE_PORT=str(self.ports[0]), RABBITMQ_DIST_PORT=str(self.ports[1]),
                    ERL_EPMD_PORT=str(self.ports[2]),
                    RUNNING_UNDER_SYSTEMD="1",  # the script becomes the server, and dies as it
                    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface "
                                                        "{127,0,0,1} +S 1:1",
                    **{name: self.folder + tail for name, tail in at.items()})

    def start(self):
        """Also after kill: with what it had kept."""
        self.mapper = subprocess.Popen(WITH_US + ["epmd", "-address", "127.0.0.1", "-port",
                                                  str(self.ports[2])])
        while True:  # else the server would start another, which stays
            try:
                socket.create_connection(("127.0.0.1", self.ports[2])).close()
                break
            except OSError:
                if self.mapper.poll() is not None:
                    raise RuntimeError("epmd ended") from None
                time.sleep(0.01)
        self.process = subprocess.Popen(WITH_US + [SERVER], env=self.environment(),
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = []
        for line in self.process.stdout:
            said.append(line)
            if "completed with" in line:
                return
        raise RuntimeError("rabbitmq-server did not become ready: " + "".join(said[-20:]))

    def control(self, *words):
        """By rabbitmqctl, which takes a second or two."""
        subprocess.run(["/usr/lib/rabbitmq/bin/rabbitmqctl", "-q", *words], check=True,
                       env=self.environment(), stdout=subprocess.DEVNULL)

    def kill(self):
        for process in self.process, self.mapper:
            if process:
                process.kill()
                process.wait()
                if process.stdout:
                    process.stdout.close()
        self.process = self.mapper = None

    def close(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
