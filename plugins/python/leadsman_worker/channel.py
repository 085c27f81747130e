"""The worker's end of the channel to the server.

Two regions of shared memory, one for what the server writes and one for what the worker writes, and a socket on which
messages of a fixed size say what lies there. src/backend/worker_protocol.h has the same in C++; both must change together.

Standard library only: this works on a machine without numpy, and says so.
"""
import mmap
import os
import socket
import struct

PROTOCOL = 1
SOCKET_FD, REQUEST_FD, RESPONSE_FD = 4, 5, 6

# From the server.
LOAD, RUN, QUIT, REGION, REFUSED = 1, 2, 3, 4, 5
# From the worker.
HELLO, LOADED, DONE, FAILED, NEED = 101, 102, 103, 104, 105

# Status codes, as in base/status.h.
INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, UNIMPLEMENTED, INTERNAL = 3, 5, 8, 9, 12, 13

MESSAGE = struct.Struct("<HHIQQ")  # kind, count, number, a, b
MAX_ERROR_BYTES = 4096


class WorkerError(Exception):
    """Something that the server is to be told, with its status code."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class ChannelClosed(BaseException):
    """There is no server any more. No Exception: a model that catches everything must not catch it, nor raise it."""


class Channel:
    def __init__(self):
        self.socket = socket.socket(fileno=SOCKET_FD)
        os.set_inheritable(SOCKET_FD, False)
        self.requests = self._map(REQUEST_FD)
        self.responses = self._map(RESPONSE_FD)
        self.generation = 0  # changes with a region: whoever keeps views of it drops them
        # Looked up once: the loop runs for every request.
        self.receive_bytes = self.socket.recv
        self.send_bytes = self.socket.send

    @staticmethod
    def _map(fd):
        region = mmap.mmap(fd, os.fstat(fd).st_size)
        os.close(fd)
        return region

    def receive(self):
        """The next message of the server; None when there is no server any more. Takes larger request regions on the way."""
        while True:
            data = self.receive_bytes(MESSAGE.size)
            if len(data) != MESSAGE.size:
                return None
            message = MESSAGE.unpack(data)
            if message[0] != REGION:
                return message
            self._take_region(message[1])

    def send(self, kind, count=0, number=0, a=0, b=0):
        self.send_bytes(MESSAGE.pack(kind, count, number, a, b))

    def send_failure(self, number, code, text):
        """The text goes through the response region; surrogates and the like must not stop an error from being told."""
        data = text.encode("utf-8", "replace")[:MAX_ERROR_BYTES]
        self.responses[:len(data)] = data
        self.send(FAILED, code, number, len(data))

    def need(self, size):
        """Asks for a response region of at least `size` bytes."""
        self.send(NEED, 0, 0, size)
        while True:
            data = self.receive_bytes(MESSAGE.size)
            if len(data) != MESSAGE.size:
                raise ChannelClosed
            kind, which, _, limit, _ = MESSAGE.unpack(data)
            if kind == REFUSED:
                raise WorkerError(RESOURCE_EXHAUSTED, f"the model's answer has {size} bytes, more than the {limit} that "
                                  "the model's option max_tensor_bytes allows; ask for fewer rows at once")
            if kind != REGION:
                raise ChannelClosed
            self._take_region(which)
            if len(self.responses) >= size:
                return

    def _take_region(self, which):
        _, fds, _, _ = socket.recv_fds(self.socket, 1, 1)
        if not fds:
            raise ChannelClosed
        region = self._map(fds[0])
        if which == 0:
            self.requests = region
        else:
            self.responses = region
        self.generation += 1
