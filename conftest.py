"""What every doctest finds in its namespace, and every test in its folder."""

import sys

import keras
import numpy as np
import pytest

import keras_sched


@pytest.fixture(autouse=True)
def _doctest_names(doctest_namespace, tmp_path):
    names = {name: getattr(keras_sched, name) for name in keras_sched.__all__}
    schedules = keras_sched.schedules
    names |= {name: getattr(schedules, name) for name in schedules.__all__}
    doctest_namespace |= names
    doctest_namespace.update(keras=keras, np=np, ops=keras.ops, directory=tmp_path)


@pytest.fixture(autouse=True)
def _pictures_closed():
    """No test sees what another has drawn: a doctest leaves its pictures open."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
