"""What tests of records share: what lies in a folder, and who is killed on the way."""

import keras

# Code of a process that is to be killed, after so many events on the disk.
KILL_AT = """
def kill_at(step, directory):
    steps = itertools.count()

    def hook(event, arguments):
        ours = arguments and str(arguments[0]).startswith(str(directory))
        if ours and next(steps) == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
"""


def contents(directory):
    return {file.name: file.read_bytes() for file in directory.iterdir()}


class Steps(keras.callbacks.Callback):
    """Counts what `fit` runs, by epoch, and keeps what it says there is to run."""

    def on_train_begin(self, logs=None):
        self.run = []

    def on_epoch_begin(self, epoch, logs=None):
        self.run.append(0)

    def on_train_batch_end(self, batch, logs=None):
        self.run[-1] += 1
