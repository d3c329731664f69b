"""A process of its own that writes files of records; `workers` starts it."""

import contextlib
import os
import pickle
import sys
import threading
from multiprocessing.connection import Connection

from keras_sched.tfrecord.writer import write_shard


def main():
    """Writes the files of the tasks that come, until none comes any more."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with (
        contextlib.suppress(EOFError, ConnectionError),
        Connection(int(sys.argv[1])) as parent,
    ):
        while True:
            parent.send(_answer(parent.recv(), lambda *done: parent.send(("more", done))))


def _answer(task, tell):
    try:
        return "done", write_shard(task, tell)
    except ConnectionError:
        raise
    except Exception as error:
        return "failed", _portable(error)


def _portable(error):
    """Returns an error that the other process can read."""
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(repr(error))


def _end_with_parent():
    """Ends this process when the other does, which holds the far end of its input."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    main()
