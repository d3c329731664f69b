"""Labels that follow the images that layers mix."""

import keras

from keras_sched import _fit_loop, _mixing


class LabelMixing(keras.callbacks.Callback):
    """Has the loss see the labels that layers of the model mix: `MixUp`, `CutMix`.

    Anywhere in the list. In training each label counts in the loss by the part that its
    image has in what the model saw; `sample_weight` and `class_weight` go with their
    labels. Several such layers in a row are followed through. Validation and metrics are
    what they were: those of training compare with the label of each image's own part.

    Labels may be class numbers or one-hot. The losses of class numbers are averaged,
    which for losses linear in the label (cross-entropy, with label smoothing too) is the
    loss of the mixed label; other labels, as those of a regression, are averaged
    themselves. Nothing is one-hot that was not before.

    Works with any loss of `compile`, several outputs, and a `train_step` of one's own
    that calls `compute_loss`. The model's inputs must all go through the same layers that
    mix. Custom training loops use the layer's `augment` on images and labels.

    >>> x, y = np.random.rand(32, 8, 8, 1), np.arange(32) % 2
    >>> dense = keras.layers.Flatten(), keras.layers.Dense(2, "softmax")
    >>> model = keras.Sequential([keras.Input((8, 8, 1)), layers.CutMix(), *dense])
    >>> model.compile("sgd", "sparse_categorical_crossentropy")
    >>> history = model.fit(x, y, verbose=0, callbacks=[LabelMixing()])
    """

    def on_train_begin(self, logs=None):
        _mixing.install(self.model)

    def on_train_end(self, logs=None):
        _fit_loop.finish(self.model)
