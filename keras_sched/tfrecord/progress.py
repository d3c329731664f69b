"""How far it is: a bar on a terminal, a line now and then elsewhere."""

import contextlib
import sys
import time

_SECONDS = 10


@contextlib.contextmanager
def shown(what, total=None, unit="records"):
    """Gives a function of how many records and bytes have just been done (of how many).

    Args:
        what: What is done, or `None` for nothing to be shown.
        total: How many records or bytes there are, or `None` where that is not known.
        unit: Which of the two "records" and "bytes" is counted.
    """
    if what is None:
        yield lambda *done, **how: None
        return
    begun, done = time.monotonic(), {"records": 0, "bytes": 0}
    just = dict(done)  # Without what was there before.
    show = _bar(what, unit) if sys.stderr.isatty() else _lines(what, unit)
    with show as advance:

        def tell(records, size, total=total, new=True):
            for name, more in ("records", records), ("bytes", size):
                done[name] += more
                just[name] += more * new
            seconds = max(time.monotonic() - begun, 1e-9)
            rate = f"{just['bytes'] / seconds / 1e6:,.0f} MB/s"
            if unit == "records":
                rate = f"{just['records'] / seconds:,.0f} records/s, {rate}"
            advance(done[unit], total, rate)

        yield tell


@contextlib.contextmanager
def _bar(what, unit):
    from rich import console, progress

    columns = [
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.TextColumn("{task.fields[count]}"),
        progress.TextColumn("{task.fields[rate]}"),
        progress.TimeRemainingColumn(),
    ]
    there = console.Console(stderr=True)
    with progress.Progress(*columns, console=there, transient=True) as bar:
        task = bar.add_task(what, total=None, count="", rate="")

        def advance(done, total, rate):
            count = _count(done, total, unit)
            bar.update(task, completed=done, total=total, count=count, rate=rate)

        yield advance


@contextlib.contextmanager
def _lines(what, unit):
    told = time.monotonic()

    def advance(done, total, rate):
        nonlocal told
        if time.monotonic() - told > _SECONDS:
            told = time.monotonic()
            print(f"{what}: {_count(done, total, unit)}, {rate}", file=sys.stderr)

    yield advance


def _count(done, total, unit):
    if unit == "bytes":
        done, total = done / 1e6, total and total / 1e6
        unit = "MB"
    return f"{done:,.0f}" + (f" of {total:,.0f}" if total else "") + f" {unit}"
