"""Signals that ask the process to end, held back until its state is on the disk."""

import os
import signal
import sys
import threading

HELD = (signal.SIGINT, signal.SIGTERM)


class Interrupted(SystemExit, KeyboardInterrupt):
    """Ends the process as the signal would have, with code 130 or 143."""


class HeldSignals:
    """Holds SIGINT and SIGTERM back while it is on.

    A signal is only noted, for whoever looks at `received`; the second is obeyed at once,
    and so is one that comes when what should look is no longer running.

    Args:
        runs: Function of the frame that a signal came in: whether someone will look.

    Attributes:
        received: The signal that came, or `None`.
    """

    def __init__(self, runs):
        self.runs, self.received, self._before = runs, None, {}

    def start(self):
        """Begins to hold signals back.

        Returns:
            Why it cannot, in words, or `None`.
        """
        if threading.current_thread() is not threading.main_thread():
            return "in a thread"
        if hasattr(sys, "ps1") or sys.flags.interactive:
            return "in an interactive session"
        self.received, self._process = None, os.getpid()
        for number in HELD:
            holder = getattr(signal.getsignal(number), "__self__", None)
            if isinstance(holder, HeldSignals) and not holder.runs(sys._getframe()):
                holder.stop()  # It could not, as its `fit` broke off.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._hold)
        return None

    def stop(self):
        """Gives the signals back to whom they had been for."""
        for number, before in self._before.items():
            if signal.getsignal(number) == self._hold:
                signal.signal(number, before or signal.SIG_DFL)
        self._before = {}

    def obey(self):
        """Lets the signal that was held back have its way."""
        number, before = self.received, self._before.get(self.received)
        self.stop()
        if before in (signal.SIG_DFL, signal.default_int_handler, None):
            raise Interrupted(128 + number)
        signal.raise_signal(number)

    def _hold(self, number, frame):
        ours = os.getpid() == self._process  # A child has handlers, and frames, of ours.
        if ours and self.received is None and self.runs(frame):
            self.received = signal.Signals(number)
        else:
            self.stop()
            signal.raise_signal(number)
