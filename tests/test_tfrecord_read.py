"""What `load` gives of what `convert` wrote."""

import collections

import keras
import numpy as np
import pytest
import tensorflow as tf
from on_disk import Steps

from keras_sched import tfrecord


def numbered(directory, count, shards=1):
    """Writes `count` records that hold nothing but their number."""
    tfrecord.convert({"x": np.arange(count)}, directory, name="d", shards=shards)


def numbers(data):
    return [n for one in data.as_numpy_iterator() for n in np.atleast_1d(one["x"])]


@pytest.fixture(scope="module")
def hundred(tmp_path_factory):
    directory = tmp_path_factory.mktemp("hundred")
    numbered(directory, 100, shards=3)
    return directory


@pytest.mark.parametrize(
    ("how", "sizes"),
    [
        ({"batch_size": 40}, [40, 40, 20]),
        ({"batch_size": 40, "drop_remainder": True}, [40, 40]),
        ({"batch_size": 50, "drop_remainder": True}, [50, 50]),
        ({"batch_size": 100}, [100]),
        ({"batch_size": 101}, [100]),
        ({"batch_size": 1}, [1] * 100),
    ],
    ids=str,
)
def test_batches_are_in_order_and_their_number_is_known(hundred, how, sizes):
    data = tfrecord.load(hundred, **how)
    batches = [batch["x"].tolist() for batch in data.as_numpy_iterator()]
    assert len(data) == len(sizes)
    assert [len(batch) for batch in batches] == sizes
    assert np.concatenate(batches).tolist() == list(range(sum(sizes)))


@pytest.mark.parametrize("count", [1, 255, 256, 257, 600])
def test_without_a_batch_size_records_come_one_by_one(tmp_path, count):
    numbered(tmp_path, count)
    data = tfrecord.load(tmp_path)
    assert len(data) == count
    assert data.element_spec["x"].shape == ()
    assert [int(one["x"]) for one in data] == list(range(count))


@pytest.mark.parametrize(
    ("how", "batch"),
    [
        ({"batch_size": 4}, None),
        ({"batch_size": 5}, 5),
        ({"batch_size": 4, "drop_remainder": True}, 4),
    ],
    ids=str,
)
def test_shapes_are_static_where_all_batches_are_alike(tmp_path, how, batch):
    tfrecord.convert((np.zeros((10, 2, 3), "float16"), np.arange(10)), tmp_path)
    x, y = tfrecord.load(tmp_path, **how).element_spec
    assert (x.shape.as_list(), x.dtype) == ([batch, 2, 3], tf.float16)
    assert (y.shape.as_list(), y.dtype) == ([batch], tf.int64)


@pytest.mark.parametrize(("rank", "name"), [(2, "features"), (4, "image")])
def test_a_pair_comes_back_as_a_pair_or_by_name(tmp_path, rank, name):
    x, y = np.ones((3,) + (2,) * (rank - 1)), np.array([4, 5, 6], "uint8")
    tfrecord.convert((x, y), tmp_path)
    ((features, labels),) = tfrecord.load(tmp_path, batch_size=3).as_numpy_iterator()
    assert (features.shape, labels.tolist()) == (x.shape, [4, 5, 6])
    (named,) = tfrecord.load(tmp_path, batch_size=3, as_supervised=False)
    assert named[name].shape == x.shape
    assert named["label"].numpy().tolist() == [4, 5, 6]


def test_splits_are_read_apart(tmp_path):
    for split, first in ("train", 0), ("test", 50):
        tfrecord.convert({"x": np.arange(first, first + 3)}, tmp_path, split=split)
    assert numbers(tfrecord.load(tmp_path)) == [0, 1, 2]
    assert numbers(tfrecord.load(tmp_path, "test", batch_size=2)) == [50, 51, 52]


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    numbered("~/numbers", 3)
    assert numbers(tfrecord.load("~/numbers")) == [0, 1, 2]
    assert numbers(tfrecord.load(tmp_path / "numbers")) == [0, 1, 2]


def test_what_is_open_stays_as_it_was_when_the_split_is_overwritten(tmp_path):
    numbered(tmp_path, 5)
    data = tfrecord.load(tmp_path, batch_size=5)
    tfrecord.convert({"x": np.arange(90, 92)}, tmp_path, overwrite=True)
    assert numbers(data) == [0, 1, 2, 3, 4]
    assert numbers(tfrecord.load(tmp_path, batch_size=5)) == [90, 91]


@pytest.mark.parametrize("count", [1, 2, 3, 255, 256, 257, 1000])
@pytest.mark.parametrize("batch_size", [None, 1, 100])
def test_a_shuffled_pass_has_every_record_once(tmp_path, count, batch_size):
    numbered(tmp_path, count, shards=min(count, 3))
    data = tfrecord.load(tmp_path, batch_size=batch_size, shuffle=True, seed=count)
    assert sorted(numbers(data)) == list(range(count))


def test_a_shuffled_batch_is_drawn_from_all_of_the_split(hundred):
    data = tfrecord.load(hundred, batch_size=20, shuffle=True, seed=0)
    for batch in data.as_numpy_iterator():
        assert set(batch["x"] // 34) == {0, 1, 2}


def test_passes_differ_and_the_seed_says_how(hundred):
    def passes(seed):
        data = tfrecord.load(hundred, batch_size=30, shuffle=True, seed=seed)
        return [numbers(data) for _ in range(4)]

    all_passes = passes(1) + passes(2) + passes(None) + passes(None)
    assert len({tuple(order) for order in all_passes}) == 16
    assert passes(1) == all_passes[:4]


@pytest.mark.parametrize("count", [12, 300])
def test_no_order_comes_again_within_a_thousand_passes_or_seeds(count, tmp_path):
    numbered(tmp_path, count)
    how = {"batch_size": count, "shuffle": True}
    passes = tfrecord.load(tmp_path, seed=1, repeat=1000, **how)
    orders = {tuple(batch["x"]) for batch in passes.as_numpy_iterator()}
    assert len(orders) > 950  # By chance two may be alike.
    firsts = {tuple(numbers(tfrecord.load(tmp_path, seed=s, **how))) for s in range(300)}
    assert len(firsts) > 285


def test_repeat_goes_on_to_the_next_pass(hundred):
    data = tfrecord.load(hundred, batch_size=30, shuffle=True, seed=5)
    repeated = tfrecord.load(hundred, batch_size=30, shuffle=True, seed=5).repeat(3)
    assert numbers(repeated) == numbers(data) + numbers(data) + numbers(data)


@pytest.mark.parametrize("batch_size", [None, 30])
def test_epoch_k_begins_with_pass_k_of_a_fresh_dataset(hundred, batch_size):
    how = {"batch_size": batch_size, "shuffle": True, "seed": 3}
    data = tfrecord.load(hundred, **how)
    passes = [numbers(data) for _ in range(5)]
    for epoch in range(4):
        later = tfrecord.load(hundred, epoch=epoch, **how)
        assert [numbers(later), numbers(later)] == passes[epoch : epoch + 2]


def test_the_order_depends_on_neither_batches_nor_files(hundred, tmp_path):
    numbered(tmp_path, 100, shards=10)
    orders = [
        numbers(tfrecord.load(folder, batch_size=size, shuffle=True, seed=9, epoch=2))
        for folder in (hundred, tmp_path)
        for size in (None, 1, 16, 100)
    ]
    assert orders == [orders[0]] * 8


def test_small_permutations_are_all_about_as_likely(tmp_path):
    numbered(tmp_path, 3)
    data = tfrecord.load(tmp_path, batch_size=3, shuffle=True, seed=0)
    passes = data.repeat(600).as_numpy_iterator()
    counts = collections.Counter(tuple(one["x"]) for one in passes).values()
    assert len(counts) == 6
    assert all(60 < count < 140 for count in counts)  # 100, give or take 4 deviations.


def tiny_model(**how):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", **how)
    return model


def ten_pairs(directory, **how):
    x = np.arange(10, dtype="float32")
    tfrecord.convert((x[:, None], x), directory)
    return tfrecord.load(directory, batch_size=4, shuffle=True, seed=2, **how)


@pytest.mark.every_backend
@pytest.mark.parametrize(("drop_remainder", "steps"), [(False, 3), (True, 2)])
def test_fit_knows_and_runs_the_right_number_of_steps(tmp_path, drop_remainder, steps):
    data, counter = ten_pairs(tmp_path, drop_remainder=drop_remainder), Steps()
    tiny_model(loss="mse").fit(data, epochs=2, callbacks=[counter], verbose=0)
    assert counter.params["steps"] == steps
    assert counter.run == [steps, steps]


def test_each_epoch_of_fit_is_the_next_pass(tmp_path):
    seen = []

    def loss(y, prediction):
        seen.extend(y.numpy().ravel())
        return keras.ops.mean(prediction)

    model = tiny_model(loss=loss, run_eagerly=True)
    model.fit(ten_pairs(tmp_path), epochs=3, verbose=0)
    data = ten_pairs(tmp_path / "again")
    assert seen == [label for _ in range(3) for _, y in data for label in y.numpy()]


REFUSED = [
    ({"split": "test"}, r"`split` of load must be one of \['train'\], which \S+ has\."),
    ({"batch_size": 0}, "`batch_size` of load must be an integer of at least 1"),
    ({"batch_size": 2.0}, "`batch_size` of load must be an integer of at least 1"),
    ({"batch_size": True}, "`batch_size` of load must be an integer of at least 1"),
    (
        {"batch_size": 101, "drop_remainder": True},
        "`batch_size` of load must be at most the number of records, 100",
    ),
    ({"drop_remainder": True}, "`drop_remainder` of load must be False where there"),
    ({"split": ["train"]}, "`split` of load must be one of"),
    ({"seed": -1}, "`seed` of load must be an integer of at least 0"),
    ({"seed": "1"}, "`seed` of load must be an integer of at least 0"),
    ({"epoch": -1}, "`epoch` of load must be an integer of at least 0"),
    ({"epoch": None}, "`epoch` of load must be an integer of at least 0"),
]


@pytest.mark.parametrize(("how", "sentence"), REFUSED)
def test_bad_arguments_are_refused_in_one_sentence(hundred, how, sentence):
    with pytest.raises(ValueError, match=sentence):
        tfrecord.load(hundred, **how)


def test_a_folder_without_records_is_refused(tmp_path):
    for folder in tmp_path, tmp_path / "none":
        with pytest.raises(ValueError, match="must be a folder that convert wrote"):
            tfrecord.load(folder)
