"""Files of records, written by several processes.

They are fresh interpreters that import neither Keras nor TensorFlow, nor the program that
asks: no `if __name__ == "__main__"` is needed, and no fork meets a thread. They end when
the program does, however it ends.
"""

import contextlib
import multiprocessing
import os
import subprocess
import sys
from multiprocessing.connection import wait

from keras_sched.tfrecord.writer import write_shard


def write(tasks, workers, tell=lambda records, size: None):
    """Yields the `metadata.Written` of each task, as it is done.

    Args:
        tasks: Sequence of `writer.Task`.
        workers: How many processes. 1: this one.
        tell: Function of how many records and bytes have just been written.

    Raises:
        RuntimeError: If a process ends, at once.
    """
    if min(workers, len(tasks)) < 2:
        for task in tasks:
            yield write_shard(task, tell)
        return
    waiting = list(reversed(tasks))
    with contextlib.ExitStack() as stack:
        started = [_Worker(stack) for _ in range(min(workers, len(waiting)))]
        busy = {worker.connection: worker for worker in started}
        for worker in started:
            worker.give(waiting.pop())
        while busy:
            for connection in wait(list(busy)):
                worker = busy[connection]
                kind, answer = worker.answer()
                if kind == "more":
                    tell(*answer)
                    continue
                if kind == "failed":
                    raise answer
                if waiting:
                    worker.give(waiting.pop())
                else:
                    del busy[connection]
                yield answer


class _Worker:
    """One process."""

    def __init__(self, stack):
        self.connection, theirs = multiprocessing.Pipe()
        command = [sys.executable, "-m", "keras_sched.tfrecord.worker"]
        self.process = subprocess.Popen(
            [*command, str(theirs.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C is for this process alone.
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        theirs.close()
        stack.callback(self.end)

    def give(self, task):
        self.path = task.path
        with self._told_if_ended():
            self.connection.send(task)

    def answer(self):
        with self._told_if_ended():
            return self.connection.recv()

    @contextlib.contextmanager
    def _told_if_ended(self):
        try:
            yield
        except (EOFError, OSError):
            code = self.process.wait()
            told = f"a process that wrote {self.path} ended with code {code}; converting "
            raise RuntimeError(f"{told}again goes on where this stopped") from None

    def end(self):
        self.connection.close()
        self.process.stdin.close()
        self.process.wait()
