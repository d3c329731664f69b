"""The command line: `keras-sched`, or `python -m keras_sched`.

Whatever takes long to load is imported by the command that needs it.
"""

import argparse
import contextlib
import dataclasses
import difflib
import json
import os
import pathlib
import re
import sys

PLOT = """\
Draws one schedule, or several in one picture, as one writes them in Python. The text is
read, never run. Keras's own schedules are known too.

  keras-sched plot "OneCycle(0.4, total_steps=1000)" cycle.png
  keras-sched plot "in_epochs(Warmup(CosineDecay(0.1, 85), 5), 391)" 0.05 two.png
"""

CONVERT = """\
Writes a dataset as TFRecords: a folder of class folders with images, a CSV with paths of
images or a table, a .npz file, tfds:NAME, or a folder that TFDS has written. Broken off,
the same command goes on (but for rows of TFDS, which come one by one).

  keras-sched convert shapes/ records/
  keras-sched convert photos.csv records/ --split test --on-error skip
  keras-sched convert tfds:mnist records/ --shards 8

With --runner, a pipeline of Apache Beam writes the same files; what else is given goes to
Beam:

  keras-sched convert photos/ records/ --runner FlinkRunner --flink_master=host:8081
"""
INSPECT = """\
Tells what a folder of TFRecords holds: splits, fields, how often each class occurs. Of
files that others have written too, by a look into their records; with --adopt they can be
read by `tfrecord.load` from then on. Ends with 1 where a file is damaged. With --spec it
prints what `tf.io.parse_example` needs to know instead.

  keras-sched inspect records/
  keras-sched inspect records/ --spec
"""
VERIFY = """\
Reads every byte of a folder of TFRecords and names what is damaged by file, record and
byte. Ends with 0 where nothing is, with 1 where something is. With --decode, images are
decoded too.

  keras-sched verify records/
  keras-sched verify records/ --json | jq .damages
"""
REPAIR = """\
Takes damaged records out of the files that `tfrecord.convert` wrote, loses no other, and
corrects what the folder says of itself. Without --apply it says only what it would do;
with --decode it takes out images too that cannot be decoded.

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
    parser = _parser()
    chosen, others = parser.parse_known_args(arguments)
    unknown = [one for one in others if not chosen.runner or _is_misspelt(one, chosen)]
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    chosen.options = others
    try:
        return chosen.run(chosen) or 0
    except ValueError as error:
        return _fail(_code(error), error)
    except (ImportError, OSError, RuntimeError) as error:
        return _fail(1, error)
    except KeyboardInterrupt:
        return _fail(130, chosen.broken_off)


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


def _load_tensorflow():
    """Has it say what it says when it starts, where that is not heard."""
    with _without_noise():
        import tensorflow as tf

        tf.constant(0)


def _is_misspelt(argument, chosen):
    """Returns whether an option for Beam is nearly, but not quite, one of ours."""
    word = argument.partition("=")[0].removeprefix("--").replace("_", "-")
    no_options = ("source", "folder", "run", "broken_off")
    ours = [name.replace("_", "-") for name in vars(chosen) if name not in no_options]
    return argument.startswith("--") and bool(
        difflib.get_close_matches(word, ours, 1, 0.8)
    )


def _code(error):
    """Returns 1 for what is wrong with data, 2 for what is wrong with the command."""
    from keras_sched.tfrecord.errors import DataError

    return 1 if isinstance(error, DataError) else 2


def _fail(code, error):
    print(f"keras-sched: {error}", file=sys.stderr)
    return code


def _size(text):
    """Returns how many bytes a text such as 64MB or 1GiB means."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)(i?)B?", text.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no size such as 64MB or 1GiB")
    number, prefix, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** " kMGT".index(prefix or " "))


def _parser():
    about = "Training recipes for Keras 3, from the command line."
    parser = argparse.ArgumentParser("keras-sched", description=about)
    parser.set_defaults(broken_off="broken off", runner=None)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    text = dict(formatter_class=argparse.RawDescriptionHelpFormatter)
    drawing = commands.add_parser("plot", help="draw schedules", description=PLOT, **text)
    drawing.add_argument("schedule", nargs="+", metavar="SCHEDULE", help="as in Python")
    file = dict(metavar="PICTURE", type=pathlib.Path, help="file: .png, .svg or .pdf")
    drawing.add_argument("picture", **file)
    drawing.add_argument("--steps", type=int, help="draw so many steps")
    drawing.set_defaults(run=_plot)
    _add_convert(commands, text)
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
        if name == "inspect":
            told = "have `load` read what others wrote: writes metadata.json"
            command.add_argument("--adopt", action="store_true", help=told)
            told = "print what `tf.io.parse_example` needs to know"
            command.add_argument("--spec", action="store_true", help=told)
        else:
            told = "decode every image too"
            command.add_argument("--decode", action="store_true", help=told)
        if name == "repair":
            command.add_argument("--apply", action="store_true", help="really do it")
    return parser


def _add_convert(commands, text):
    short = "write a dataset as TFRecords"
    command = commands.add_parser("convert", help=short, description=CONVERT, **text)
    command.add_argument("source", metavar="SOURCE", help="folder, file or tfds:NAME")
    command.add_argument("folder", metavar="FOLDER", type=pathlib.Path, help="where to")
    add = command.add_argument
    add("--name", help="name for TFDS; else the folder's")
    add("--split", help="one split; else all that the source has, or train")
    add("--shards", type=int, metavar="N", help="number of files")
    add("--shard-bytes", type=_size, metavar="SIZE", help="about how long: 64MB, 1GiB")
    add("--image-format", metavar="FORMAT", help="keep, raw, jpeg, png, bmp, gif or webp")
    add("--workers", type=int, metavar="N", help="number of processes; else the cores")
    add("--on-error", choices=("raise", "skip"), help="skip: leave bad rows out")
    add("--no-resume", dest="resume", action="store_false", help="begin anew")
    add("--overwrite", action="store_true", help="replace a split that is there")
    add("--index", action="store_true", help="write where records begin, for DALI")
    add("--runner", metavar="RUNNER", help="Beam's: direct, FlinkRunner, SparkRunner ...")
    add("--quiet", dest="progress", action="store_false", help="show no progress")
    add("--json", action="store_true", help="print the result as JSON")
    broken_off = "broken off; the same command goes on where this stopped"
    command.set_defaults(run=_convert, broken_off=broken_off)


def _plot(chosen):
    with _without_noise():
        from keras import ops

        from keras_sched import plot, schedules

        ops.zeros(())  # Has the backend say what it says when it starts.

    drawn = [schedules.parse(text) for text in chosen.schedule]
    several = dict(zip(chosen.schedule, drawn)) if len(drawn) > 1 else drawn
    plot.save(plot.schedule(several, chosen.steps), chosen.picture)
    _say(chosen.picture)


def _convert(chosen):
    ours = ("source", "folder", "run", "broken_off", "json", "runner", "options")
    how = {name: value for name, value in vars(chosen).items() if name not in ours}
    how = {name: value for name, value in how.items() if value is not None}
    convert = _convert_by_beam if chosen.runner else _convert_here
    done = convert(chosen, how)
    if isinstance(done, dict) and not chosen.json:
        _say("\n".join(map(str, done.values())))
    else:
        _print(chosen, done)


def _convert_here(chosen, how):
    from keras_sched import tfrecord

    if chosen.source.startswith("tfds:") or _is_of_tfds(chosen.source):
        chosen.broken_off = "broken off; rows come one by one, so it begins anew"
        _load_tensorflow()
    return tfrecord.convert(chosen.source, chosen.folder, **how)


def _convert_by_beam(chosen, how):
    from keras_sched.tfrecord import beam

    if "workers" in how:
        raise ValueError("--workers is not for --runner: Beam's options say how many")
    how = {name: how[name] for name in how if name not in ("resume", "progress")}
    run = dict(runner=chosen.runner, options=chosen.options)
    return beam.run(chosen.source, chosen.folder, **run, **how)


def _is_of_tfds(source):
    return (pathlib.Path(source) / "dataset_info.json").is_file()


def _inspect(chosen):
    with _without_noise():
        from keras_sched import tfrecord

        found = tfrecord.inspect(chosen.folder, adopt=chosen.adopt)
    if chosen.spec:
        _say(found.spec())
    else:
        _print(chosen, found)
    return 1 if found.damages else 0


def _verify(chosen):
    from keras_sched import tfrecord
    from keras_sched.tfrecord import progress

    if chosen.decode:
        _load_tensorflow()
    what = None if chosen.json else "verify"
    with progress.shown(what, unit="bytes") as tell:
        found = tfrecord.verify(
            chosen.folder,
            decode=chosen.decode,
            on_bytes=lambda count, total: tell(0, count, total),
        )
    _print(chosen, found)
    return 0 if found.sound else 1


def _repair(chosen):
    from keras_sched import tfrecord

    if chosen.decode:
        _load_tensorflow()
    how = dict(dry_run=not chosen.apply, decode=chosen.decode)
    _print(chosen, tfrecord.repair(chosen.folder, **how))


def _print(chosen, found):
    """Prints what was found, or a dict of that."""
    as_json = dict(default=dataclasses.asdict, indent=2)
    _say(json.dumps(found, **as_json) if chosen.json else found)


def _say(text):
    """Prints a text; silent where whoever reads it has seen enough."""
    try:
        print(text, flush=True)
    except BrokenPipeError:  # Or Python would tell of it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
