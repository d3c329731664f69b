"""What is refused because of the data, not of the call: the command ends with 1."""

from keras_sched._checks import check


class DataError(ValueError):
    """Data that are damaged, or that cannot be written."""


def check_data(ok, owner, name, must, got):
    """Raises `DataError` unless `ok`, in the words of `check`."""
    try:
        check(ok, owner, name, must, got)
    except ValueError as error:
        raise DataError(str(error)) from None
