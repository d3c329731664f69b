"""Draws every schedule of README's table, each as it is written there, in one picture."""

import argparse
import os
import pathlib
import re

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from keras_sched import plot, schedules

README = pathlib.Path(__file__).parent.parent / "README.md"
STEPS, COLUMNS = 1100, 4


def table():
    """Returns what one wants, and the schedule for it, row by row."""
    section = README.read_text().split("## Which schedule?")[1].split("\n## ")[0]
    return re.findall(r"^\| ([^|]+) \| `(.+?)`.* \|$", section, re.MULTILINE)


def draw(rows):
    height = -(-len(rows) // COLUMNS)
    size = (3.2 * COLUMNS, 2.1 * height)
    _, grid = plt.subplots(
        height, COLUMNS, sharex=True, figsize=size, layout="constrained"
    )
    for ax, (wanted, text) in zip(grid.flat, rows):
        plot.schedule(schedules.parse(text), STEPS, label="", ax=ax)
        ax.set_xlabel("")
        ax.set_title(wanted, fontsize=10)
        low, high = ax.get_ylim()
        ax.set_ylim(0 if low < high / 2 else low, high)
    for ax in grid.flat[len(rows) :]:
        ax.remove()
    return grid


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", default="schedules.png", type=pathlib.Path)
    arguments = parser.parse_args()
    plot.save(draw(table()), arguments.picture, dpi=80)
    print(arguments.picture)


if __name__ == "__main__":
    main()
