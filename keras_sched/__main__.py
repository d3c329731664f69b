"""The command line: `keras-sched`, or `python -m keras_sched`.

Whatever takes long to load is imported by the command that needs it.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import sys

PLOT = """\
Draws one schedule, or several in one picture, as one writes them in Python. The text is
read, never run. Keras's own schedules are known too.

  keras-sched plot "OneCycle(0.4, total_steps=1000)" cycle.png
  keras-sched plot "in_epochs(Warmup(CosineDecay(0.1, 85), 5), 391)" 0.05 two.png
"""

INSPECT = """\
Tells what a folder of TFRecords holds: splits, fields, how often each class occurs. Of
files that others have written too, by a look into their records.

  keras-sched inspect records/
"""
VERIFY = """\
Reads every byte of a folder of TFRecords and names what is damaged by file, record and
byte. Ends with 0 where nothing is, with 1 where something is.

  keras-sched verify records/
  keras-sched verify records/ --json | jq .damages
"""
REPAIR = """\
Takes damaged records out of the files that `tfrecord.convert` wrote, loses no other, and
corrects what the folder says of itself. Without --apply it says only what it would do.

  keras-sched repair records/
  keras-sched repair records/ --apply
"""


def main(arguments=None):
    """Runs one command.

    Args:
        arguments: List of strings. `None`: those of this process.

    Returns:
        Exit code: 0, 1 where data are damaged or a file or a package failed, 2 for a
        mistake in the command, 130 after Ctrl-C.
    """
    chosen = _parser().parse_args(arguments)
    try:
        return chosen.run(chosen) or 0
    except ValueError as error:
        return _fail(2, error)
    except (ImportError, OSError) as error:
        return _fail(1, error)
    except KeyboardInterrupt:
        return 130


@contextlib.contextmanager
def _without_noise():
    """Keeps from the terminal what TensorFlow's libraries write while they load."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _fail(code, error):
    print(f"keras-sched: {error}", file=sys.stderr)
    return code


def _parser():
    about = "Training recipes for Keras 3, from the command line."
    parser = argparse.ArgumentParser("keras-sched", description=about)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    text = dict(formatter_class=argparse.RawDescriptionHelpFormatter)
    drawing = commands.add_parser("plot", help="draw schedules", description=PLOT, **text)
    drawing.add_argument("schedule", nargs="+", metavar="SCHEDULE", help="as in Python")
    file = dict(metavar="PICTURE", type=pathlib.Path, help="file: .png, .svg or .pdf")
    drawing.add_argument("picture", **file)
    drawing.add_argument("--steps", type=int, help="draw so many steps")
    drawing.set_defaults(run=_plot)
    on_records = {
        "inspect": ("tell what TFRecords hold", INSPECT, _inspect),
        "verify": ("tell what is damaged in TFRecords", VERIFY, _verify),
        "repair": ("take damaged records out of their files", REPAIR, _repair),
    }
    for name, (short, description, run) in on_records.items():
        command = commands.add_parser(name, help=short, description=description, **text)
        folder = dict(metavar="FOLDER", type=pathlib.Path, help="folder of TFRecords")
        command.add_argument("folder", **folder)
        command.add_argument("--json", action="store_true", help="print it as JSON")
        command.set_defaults(run=run)
        if name == "repair":
            command.add_argument("--apply", action="store_true", help="really do it")
    return parser


def _plot(chosen):
    with _without_noise():
        from keras_sched import plot, schedules

    drawn = [schedules.parse(text) for text in chosen.schedule]
    several = dict(zip(chosen.schedule, drawn)) if len(drawn) > 1 else drawn
    plot.save(plot.schedule(several, chosen.steps), chosen.picture)
    print(chosen.picture)


def _inspect(chosen):
    with _without_noise():
        from keras_sched import tfrecord

        found = tfrecord.inspect(chosen.folder)
    _print(chosen, found)


def _verify(chosen):
    from keras_sched import tfrecord

    with _bar(chosen) as advance:
        found = tfrecord.verify(chosen.folder, on_bytes=advance)
    _print(chosen, found)
    return 0 if found.sound else 1


def _repair(chosen):
    from keras_sched import tfrecord

    _print(chosen, tfrecord.repair(chosen.folder, dry_run=not chosen.apply))


def _print(chosen, found):
    text = json.dumps(dataclasses.asdict(found), indent=2) if chosen.json else str(found)
    print(text)


@contextlib.contextmanager
def _bar(chosen):
    """Gives a function of bytes done and bytes in all that shows them on a terminal."""
    if chosen.json or not sys.stderr.isatty():
        yield None
        return
    from rich import console, progress

    columns = [
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
    ]
    shown = console.Console(stderr=True)
    with progress.Progress(*columns, console=shown, transient=True) as bar:
        task = bar.add_task("", total=None)

        def advance(count, total):
            bar.update(task, advance=count, total=total)

        yield advance


if __name__ == "__main__":
    sys.exit(main())
