"""A proxy in front of a server that speaks no HTTP. Bytes pass as they come, until it is told otherwise:

    proxy = TcpProxy(upstream_port)
    proxy.spoil(after=100_000, then=proxy.cut)

clear() ends what spoil() began.
"""
import contextlib
import socket
import struct
import threading

_PIECE = 64 * 1024


class TcpProxy:
    def __init__(self, upstream_port):
        self.upstream = upstream_port
        self.lock = threading.Lock()
        self.passing = threading.Event()
        self.sockets = set()
        self.spoilt = 0
        self.clear()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def clear(self):
        """Nothing is spoilt any more; what is held passes."""
        with self.lock:
            self.after, self.then, self.swap, self.delay = None, None, None, 0
        self.passing.set()

    def spoil(self, after=None, then=None, swap=None, delay=0):
        """Of what the server sends: once `after` more bytes have passed, `then()` is called; the first bytes that are swap[0]
        become swap[1]; each piece waits `delay` seconds."""
        with self.lock:
            self.after, self.then, self.swap, self.delay = after, then, swap, delay

    def cut(self):
        """Resets all connections; new ones are let pass."""
        with self.lock:
            sockets, self.sockets = self.sockets, set()
        for each in sockets:
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.shutdown(socket.SHUT_RDWR)

    def hold(self):
        """Nothing passes any more, in either direction, on old connections and new ones."""
        self.passing.clear()

    def stop(self):
        self.listener.close()
        self.clear()
        self.cut()

    def _accept(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self.listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self.upstream), timeout=10)
                except OSError:
                    client.close()
                    continue
                server.settimeout(None)
                with self.lock:
                    self.sockets |= {client, server}
                for source, sink, spoils in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._pump, args=(source, sink, spoils), daemon=True).start()

    def _pump(self, source, sink, spoils):
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE):
                if spoils:
                    piece = self._spoil(piece)
                self.passing.wait(60)
                sink.sendall(piece)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        with self.lock:
            self.sockets -= {source, sink}

    def _spoil(self, piece):
        then = None
        with self.lock:
            delay = self.delay
            if self.swap and self.swap[0] in piece:
                piece = piece.replace(*self.swap, 1)
                self.swap = None
                self.spoilt += 1
            if self.after is not None:
                self.after -= len(piece)
                if self.after <= 0:
                    self.after, then = None, self.then
                    self.spoilt += 1
        if delay:
            threading.Event().wait(delay)
            self.spoilt += 1
        if then:
            then()
        return piece
