# SPDX-License-Identifier: MIT
"""The server of the HTTP client's tests: one misbehaviour a path. Prints its port, ends with its
standard input."""
import socket
import sys
import threading


def answer(conn, method, path, headers, body):
    def send(text, data=b"", status="200 OK"):
        head = f"HTTP/1.1 {status}\r\n{text}\r\n"
        conn.sendall(head.encode() + data)

    def sized(data, extra="", status="200 OK"):
        send(f"Content-Length: {len(data)}\r\nContent-Type: text/plain; charset=utf-8\r\n{extra}",
             b"" if method == "HEAD" else data, status)

    if path == "/ok":
        sized(b"hello")
    elif path == "/echo":
        lines = "".join(f"{k}: {v}\n" for k, v in headers.items())
        sized(f"{method}\n{lines}\n".encode() + body)
    elif path.startswith("/bytes/"):
        sized(b"x" * int(path[7:]))
    elif path == "/redirect":
        sized(b"", "Location: /ok\r\n", "302 Found")
    elif path == "/missing":
        sized(b"no such page", "", "404 Not Found")
    elif path == "/chunked":
        send("Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")
    elif path == "/gzip":
        import gzip
        sized(gzip.compress(b"z" * 10000), "Content-Encoding: gzip\r\n")
    elif path == "/early":
        send("Content-Length: 100\r\n", b"only this")
        return False
    elif path == "/garbage":
        conn.sendall(b"\x00\x01 this is not HTTP\r\n\r\n")
        return False
    elif path == "/hang":
        conn.settimeout(None)
        conn.recv(1)
        return False
    elif path == "/reset":
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        return False
    else:
        sized(b"", "", "400 Bad Request")
    return True


def serve(conn):
    try:
        serve_requests(conn)
    except ConnectionError:
        pass


def serve_requests(conn):
    stream = conn.makefile("rb")
    with conn:
        while True:
            line = stream.readline().decode("latin-1")
            if not line:
                return
            method, path, _ = line.split(" ", 2)
            headers = {}
            while (line := stream.readline().decode("latin-1").rstrip("\r\n")):
                name, value = line.split(":", 1)
                headers[name.lower()] = value.strip()
            body = stream.read(int(headers.get("content-length", 0)))
            if not answer(conn, method, path, headers, body):
                stream.close()
                return


def main():
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    print(listener.getsockname()[1], flush=True)

    def accept():
        while True:
            conn, _ = listener.accept()
            threading.Thread(target=serve, args=(conn,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    sys.stdin.read()


main()
