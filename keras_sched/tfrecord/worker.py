"""A process of its own that writes files of records; `workers` starts it."""

import os
import signal
import sys
import threading
from multiprocessing.connection import Connection

from keras_sched.tfrecord.writer import write_shard


def main():
    """Writes the files of the tasks that come, until none comes any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who asks.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with Connection(int(sys.argv[1])) as parent:
        while True:
            try:
                task = parent.recv()
            except EOFError:
                return
            try:
                written = write_shard(task, lambda *more: parent.send(("more", more)))
                parent.send(("done", written))
            except Exception as error:
                parent.send(("failed", error))


def _end_with_parent():
    """Ends this process when the other does, which holds the far end of its input."""
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


if __name__ == "__main__":
    main()
