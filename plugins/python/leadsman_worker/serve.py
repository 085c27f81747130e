"""The loop that answers requests."""
import os

from .channel import DONE, INTERNAL, INVALID_ARGUMENT, LOADED, MESSAGE, QUIT, RESOURCE_EXHAUSTED, RUN, ChannelClosed, WorkerError
from .main import log_error
from .tensors import Reader, Writer


class Runner:
    def __init__(self, channel, model):
        self.channel, self.model = channel, model
        self.loaded = (LOADED, 0)

    def serve(self):
        channel, run = self.channel, self.model.run
        reader, writer = Reader(channel, self.model.inputs), Writer(channel, self.model.outputs)
        read, write, receive, pack, send = (reader.read, writer.write, channel.receive, MESSAGE.pack, channel.send_bytes)
        outputs, pid, getpid = len(self.model.outputs), os.getpid(), os.getpid
        kind, size = self.loaded
        channel.send(kind, 0, 0, size)
        while True:
            message = receive()
            if message is None or message[0] == QUIT:
                break
            kind, count, number, size, _ = message
            if kind != RUN:
                break
            try:
                try:
                    values = run(read(count, size))
                finally:
                    if getpid() != pid:
                        os._exit(70)  # a child that the model forked and let return here: the channel is its parent's
                answer = pack(DONE, outputs, number, write(values), 0)
            except ChannelClosed:
                break
            except BaseException as error:
                failure = _run_failure(error)
                if failure is not error:
                    log_error(error)
                writer.forget()
                try:
                    channel.send_failure(number, failure.code, str(failure))
                except OSError:
                    break  # the model closed the channel, or the server has gone
                del error, failure
                continue
            try:
                send(answer)
            except OSError:
                break
        try:
            self.model.close()
        except BaseException as error:
            log_error(error)


def _run_failure(error):
    if isinstance(error, WorkerError):
        return error
    if isinstance(error, MemoryError):
        return WorkerError(RESOURCE_EXHAUSTED, "the model ran out of memory")
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    # What numpy, scikit-learn and pandas raise for values that they cannot work with; a script does so to refuse an input.
    refused = isinstance(error, ValueError) or _mlflow_refuses(error)
    return WorkerError(INVALID_ARGUMENT if refused else INTERNAL, text)


def _mlflow_refuses(error):
    return type(error).__name__ == "MlflowException" and getattr(error, "error_code", "") in (
        "INVALID_PARAMETER_VALUE", "BAD_REQUEST")
