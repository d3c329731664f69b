"""The command line: `keras-sched`, or `python -m keras_sched`.

Whatever takes long to load is imported by the command that needs it.
"""

import argparse
import contextlib
import os
import pathlib
import sys

PLOT = """\
Draws one schedule, or several in one picture, as one writes them in Python. The text is
read, never run. Keras's own schedules are known too.

  keras-sched plot "OneCycle(0.4, total_steps=1000)" cycle.png
  keras-sched plot "in_epochs(Warmup(CosineDecay(0.1, 85), 5), 391)" 0.05 two.png
"""


def main(arguments=None):
    """Runs one command.

    Args:
        arguments: List of strings. `None`: those of this process.

    Returns:
        Exit code: 0, 1 where a file or a package failed, 2 for a mistake in the command,
        130 after Ctrl-C.
    """
    chosen = _parser().parse_args(arguments)
    try:
        chosen.run(chosen)
    except ValueError as error:
        return _fail(2, error)
    except (ImportError, OSError) as error:
        return _fail(1, error)
    except KeyboardInterrupt:
        return 130
    return 0


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
    return parser


def _plot(chosen):
    with _without_noise():
        from keras_sched import plot, schedules

    drawn = [schedules.parse(text) for text in chosen.schedule]
    several = dict(zip(chosen.schedule, drawn)) if len(drawn) > 1 else drawn
    plot.save(plot.schedule(several, chosen.steps), chosen.picture)
    print(chosen.picture)


if __name__ == "__main__":
    sys.exit(main())
