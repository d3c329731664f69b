"""Counts in words."""


def many(count, noun):
    """Returns a count in words, "1 file" or "2 files"."""
    ending = "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}" + ending * (count != 1)
