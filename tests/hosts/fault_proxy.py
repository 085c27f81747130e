"""An HTTP proxy in front of a real server that spoils what passes through it, as it is told.

    proxy = FaultProxy(upstream_port)
    proxy.fault("cut", path="model.onnx", after=100, times=2)

Requests pass unchanged, the Host header included, so that signatures hold. Where the server sends a client on to another
port of this machine (an HDFS NameNode to its DataNode), the client is led through this proxy too. Kinds of fault, each for the next `times`
answers to requests whose path and query contain `path`:
    status    answers `code` itself (with `retry_after`, `body`), asks nobody
    cut       sends `after` bytes of the body, calls `then()` if there is one, and resets the connection
    truncate  sends `after` bytes of the body and closes it in order, as if that were all
    corrupt   turns the bits of the body's byte number `after`
    delay     waits `seconds` before it asks
    stall     sends `after` bytes of the body and nothing more until released
    hang      never answers until released
    throttle  sends the body at `rate` bytes a second
    echo      answers `code` with what it was sent, in the words of `body(text)`

A `guard(headers)` looks at every request first: what it returns, (status, headers, body), is the answer; None lets it pass.
With a `certificate` (a file with key and certificate) it is an https proxy as well, which keeps to itself what is asked of
any host: CONNECT ends here.
"""
import contextlib
import fcntl
import http.client
import http.server
import re
import socket
import ssl
import struct
import termios
import threading
import time

_PIECE = 16 * 1024
_ONWARD = re.compile(r"^/to-port-(\d+)(/.*)")


class FaultProxy:
    def __init__(self, upstream_port, guard=None, certificate=None):
        self.upstream, self.guard = upstream_port, guard
        self.tls = certificate and ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        if certificate:
            self.tls.load_cert_chain(certificate)
        self.lock = threading.Lock()
        self.faults = []
        self.seen = []  # (method, path, range header, when) of every request
        self.hosts = []  # of every CONNECT
        self.spoilt = self.refused = 0
        self.released = threading.Event()
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def _serve(self):
                proxy._serve(self)

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve

            def do_CONNECT(self):
                proxy.hosts.append(self.path)
                self.send_response(200)
                self.end_headers()
                self.connection = proxy.tls.wrap_socket(self.connection, server_side=True)
                self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass  # connections break here on purpose

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def fault(self, kind, path="", times=1, **how):
        with self.lock:
            self.faults.append({"kind": kind, "path": path, "left": times, **how})

    def clear(self):
        """No faults any more; what hangs or stalls ends."""
        with self.lock:
            self.faults = []
        self.released.set()
        self.released = threading.Event()

    def ranges(self, path):
        """The Range headers of the requests for a path, None where there was none."""
        with self.lock:
            return [wanted for _, asked, wanted, _ in self.seen if path in asked]

    def moments(self, path):
        """When the requests for a path came, in seconds."""
        with self.lock:
            return [when for _, asked, _, when in self.seen if path in asked]

    def stop(self):
        self.clear()
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def _fault_for(self, path):
        with self.lock:
            for fault in self.faults:
                if fault["left"] > 0 and fault["path"] in path:
                    fault["left"] -= 1
                    self.spoilt += 1
                    return fault, self.released
        return {"kind": ""}, self.released

    def _serve(self, handler):
        length = int(handler.headers.get("Content-Length") or 0)
        sent = handler.rfile.read(length) if length else None
        with self.lock:
            self.seen.append((handler.command, handler.path, handler.headers.get("Range"), time.monotonic()))
        refusal = self.guard and self.guard(handler.headers)
        if refusal:
            with self.lock:
                self.refused += 1
            return self._reply(handler, *refusal)
        fault, released = self._fault_for(handler.path)
        kind = fault["kind"]
        if kind == "hang":
            released.wait(60)
            handler.close_connection = True
            return
        if kind == "delay":
            released.wait(fault["seconds"])
        if kind == "status":
            headers = {"Retry-After": str(fault["retry_after"])} if "retry_after" in fault else {}
            return self._reply(handler, fault["code"], headers, fault.get("body", "spoilt").encode())
        if kind == "echo":
            # Backwards: what may be secret stands near the front, before anybody cuts the text off.
            headers = sorted(handler.headers.items(), key=lambda header: header[0].lower(), reverse=True)
            text = f"{handler.requestline} {headers} {(sent or b'').decode()}"
            return self._reply(handler, fault["code"], {}, fault["body"](text).encode())
        onward = _ONWARD.match(handler.path)
        port, path = (int(onward[1]), onward[2]) if onward else (self.upstream, handler.path)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        with contextlib.closing(connection):
            connection.putrequest(handler.command, path, skip_host=True, skip_accept_encoding=True)
            for name, value in handler.headers.items():
                connection.putheader(name, value)
            connection.endheaders(sent)
            self._answer(handler, connection.getresponse(), fault, released)

    @staticmethod
    def _await_sent(connection):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)) != bytes(4):
            time.sleep(0.01)

    @staticmethod
    def _reply(handler, status, headers, body):
        handler.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    def _answer(self, handler, answer, fault, released):
        kind, after = fault["kind"], fault.get("after", 0)
        body = answer.read()
        if kind == "truncate":
            body = body[:after]
        if kind == "corrupt" and len(body) > after:
            body = body[:after] + bytes([body[after] ^ 0xFF]) + body[after + 1:]
        handler.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() == "location":
                value = re.sub(r"^http://(?:127\.0\.0\.1|localhost|[^/:]+):(\d+)/", rf"http://127.0.0.1:{self.port}/to-port-\1/",
                               value)
            if name.lower() not in ("transfer-encoding", "connection", "content-length", "date", "server"):
                handler.send_header(name, value)
        length = answer.getheader("Content-Length") if handler.command == "HEAD" else len(body)
        handler.send_header("Content-Length", str(length or 0))
        handler.end_headers()
        if handler.command == "HEAD":
            return
        if kind in ("cut", "stall"):
            handler.wfile.write(body[:after])
            handler.wfile.flush()
            if kind == "stall":
                released.wait(60)
            self._await_sent(handler.connection)  # which a reset would take back
            fault.get("then", lambda: None)()
            # A reset, not an orderly end.
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.close_connection = True
            handler.connection.close()
            return
        if kind == "throttle":
            for at in range(0, len(body), _PIECE):
                handler.wfile.write(body[at:at + _PIECE])
                handler.wfile.flush()
                time.sleep(len(body[at:at + _PIECE]) / fault["rate"])
            return
        handler.wfile.write(body)
