"""What may be touched of a running `fit`, beside the optimizer, and put back after."""

import contextlib
import functools
import itertools

import keras
import numpy as np

_END_OF_DATA = ("StopIteration", "OutOfRangeError")


class Setting:
    """A number that the compiled step reads anew each time, where others are constants.

    Give it to `retrace`. Called, it returns what to calculate with: while the step is
    traced, what stands for the number there.
    """

    def __init__(self, value):
        self._value = None
        if keras.backend.backend() == "tensorflow":
            self._value = keras.Variable(value, trainable=False, dtype="float32")
        self.assign(value)

    def __call__(self):
        return self._value

    def assign(self, value):
        """Changes the number, between two steps."""
        if isinstance(self._value, keras.Variable):
            self._value.assign(value)
        elif keras.backend.backend() == "jax":  # Once, not with every batch.
            self._value = keras.ops.convert_to_tensor(value, "float32")
        else:
            self._value = value

    @contextlib.contextmanager
    def standing_for(self, traced):
        """Lets `traced` stand for the number in a `with` block."""
        value, self._value = self._value, traced
        try:
            yield
        finally:
            self._value = value


class Carried:
    """Arrays that each compiled step changes, beside those of the model.

    Give it to `retrace`.

    Args:
        values: Tensors to begin with.
        update: Function of the values and of the model's weights after a step, in the
            order of `model.weights`. Returns the new values.
    """

    def __init__(self, values, update):
        self.update = update
        how = dict(trainable=False, aggregation="only_first_replica")
        self._held = [keras.Variable(v, dtype=v.dtype, **how) for v in values]
        if keras.backend.backend() == "jax":  # Placed where variables are.
            self._held = [variable.value for variable in self._held]

    @property
    def values(self):
        """The tensors as the last step left them."""
        return [keras.ops.convert_to_tensor(value) for value in self._held]

    @values.setter
    def values(self, values):
        if keras.backend.backend() == "jax":
            self._held = list(values)
        else:
            for variable, value in zip(self._held, values):
                variable.assign(value)

    def step(self, weights):
        """Updates the values where they can be updated in place."""
        weights = [keras.ops.stop_gradient(weight) for weight in weights]
        self.values = self.update(self.values, weights)


def retrace(model, undo, settings=(), around=contextlib.nullcontext, carried=()):
    """Has the training step compiled anew, and keeps the old one for afterwards.

    Call it while `fit` runs, before the step it is to concern. The old step comes back,
    and every `undo` is called, at `finish`, when a step raises, or, should `fit` end by
    an exception elsewhere, as soon as the next `fit` begins.

    Args:
        model: The model.
        undo: Function that takes out what the step is compiled anew for.
        settings: `Setting`s that it reads.
        around: Function that returns a context manager to trace the step in.
        carried: `Carried`s that it updates.
    """
    heal(model)
    step = model.train_function
    if not isinstance(step, _TemporaryStep):
        step = _TemporaryStep(model)
    step.undos.append(undo)
    step.settings.extend(settings)
    step.around.append(around)
    step.carried.extend(carried)
    step.compiled, model.train_function = _compile_anew(model, step), step


def _compile_anew(model, temporary):
    """Returns a training function that has not been traced.

    `jax.jit` takes equal functions for one, and a model's `train_step` is equal to
    itself: without a new name for it, the trace that is kept would be used again.
    """
    plain, had = model.train_step, "train_step" in vars(model)

    def step(*args):
        with temporary.surroundings() as stack:
            if not temporary.gives_more:
                result = plain(*args)
                if keras.backend.backend() == "tensorflow":
                    temporary.update_carried()
                return result
            (*state, carried), (batch, values) = args
            for setting, value in zip(temporary.settings, values):
                stack.enter_context(setting.standing_for(value))
            logs, state = plain(tuple(state), batch)
            weights = _weights(model, state)
            pairs = zip(temporary.carried, carried)
            return logs, (*state, [one.update(old, weights) for one, old in pairs])

    model.train_function, model.train_step = None, step
    sharding = temporary.gives_more and model._get_state_sharding_spec
    if sharding:
        model._get_state_sharding_spec = lambda: (*sharding(), temporary.shardings())
    try:
        model.make_train_function()
    finally:
        del model.train_step
        if had:
            model.train_step = plain
        if sharding:
            del model._get_state_sharding_spec
    return model.train_function


def _weights(model, state):
    """Returns the values of `model.weights` among the state of a step of JAX."""
    held = model.trainable_variables + model.non_trainable_variables
    values = dict(zip(map(id, held), (*state[0], *state[1])))
    return [values[id(weight)] for weight in model.weights]


def finish(model):
    """Puts back the training step that `retrace` took the place of, if it did."""
    if isinstance(model.train_function, _TemporaryStep):
        model.train_function.finish()


def heal(model):
    """Does what `finish` does where an earlier `fit` broke off before it could."""
    if isinstance(model.train_function, _TemporaryStep):
        model.train_function.heal()


def report_batch_losses(model):
    """Makes `logs["loss"]` the batch's own loss, where Keras reports a running mean.

    Call it before the step is traced. A model with a `train_step` of its own is not
    reached this way; there, reset the metrics before each batch.

    Returns:
        Function that puts the running mean back.
    """
    trackers = [m for m in model.metrics if m.name == "loss" and hasattr(m, "total")]
    for tracker in trackers:
        tracker.update_state = functools.partial(_hold, tracker)
    return lambda: [vars(tracker).pop("update_state", None) for tracker in trackers]


def wrap_losses(model, wrap):
    """Puts an object of the class `wrap`, made of it, in the place of each loss, once.

    Returns:
        Function that puts the losses back.
    """
    heal(model)
    compiled, plain = model._compile_loss, {}
    if compiled is None:
        return lambda: None

    def put_in():
        for place, entry in enumerate(compiled._flat_losses):
            if not isinstance(entry.loss, wrap):
                plain[place] = entry
                compiled._flat_losses[place] = entry._replace(loss=wrap(entry.loss))

    def build(y_true, y_pred):  # Some backends know the losses in the first step only.
        type(compiled).build(compiled, y_true, y_pred)
        put_in()

    def undo():
        vars(compiled).pop("build", None)
        for place, entry in plain.items():
            compiled._flat_losses[place] = entry

    if compiled.built:
        put_in()
    else:
        compiled.build = build
    return undo


def batch_normalizations(model):
    """Returns the layers of a model that keep the mean and the variance of batches."""
    layers = model._flatten_layers()
    return [one for one in layers if isinstance(one, keras.layers.BatchNormalization)]


def has_own_train_step(model):
    """Returns whether the model brings its own `train_step`."""
    return type(model).train_step is not keras.Model.train_step


class Snapshot:
    """Copies of the values of variables."""

    def __init__(self, variables):
        self._pairs = [(v, np.array(keras.ops.convert_to_numpy(v))) for v in variables]

    def restore(self):
        """Puts every value back, to the bit."""
        for variable, value in self._pairs:
            variable.assign(value)


def _hold(tracker, loss, sample_weight=None):
    tracker.total.assign(keras.ops.cast(loss, tracker.total.dtype))
    tracker.count.assign(1.0)


class _TemporaryStep:
    """A compiled training step that belongs to one `fit`."""

    def __init__(self, model):
        self.model, self.fit = model, model.history
        self.before, self.compiled = model.train_function, None
        self.undos, self.settings, self.around, self.carried = [], [], [], []

    def __call__(self, *args):
        if self.heal():
            self.model.make_train_function()
            return self.model.train_function(*args)
        if self.gives_more:
            return self._call_with_state(*args)
        return self._call(*args)

    @property
    def gives_more(self):
        """Whether JAX's function, which sees arguments only, needs more of them."""
        more = self.settings or self.carried
        return bool(more) and keras.backend.backend() == "jax"

    def update_carried(self):
        """Updates the arrays that are carried, where that is done in place."""
        for one in self.carried:
            one.step(self.model.weights)

    def shardings(self):
        """Returns where the arrays lie that are carried."""
        return [[value.sharding for value in one.values] for one in self.carried]

    def _call_with_state(self, state, batches):
        """Gives JAX's function settings and arrays too."""
        values = itertools.repeat([setting() for setting in self.settings])
        carried = [one.values for one in self.carried]
        logs, (*state, carried) = self._call((*state, carried), zip(batches, values))
        for one, new in zip(self.carried, carried):
            one.values = new
        return logs, tuple(state)

    def _call(self, *args):
        eager = keras.backend.backend() == "torch"  # Nobody calls the step given there.
        try:
            with self.surroundings() if eager else contextlib.nullcontext():
                result = self.compiled(*args)
            if eager:
                self.update_carried()
            return result
        except BaseException as error:
            if type(error).__name__ not in _END_OF_DATA:
                self.finish()
            raise

    @contextlib.contextmanager
    def surroundings(self):
        """Enters what the step is to run in, and yields where more may be entered."""
        with contextlib.ExitStack() as stack:
            for around in self.around:
                stack.enter_context(around())
            yield stack

    def heal(self):
        """Returns whether another `fit` than its own is running; then, finishes."""
        stale = self.model.history is not self.fit
        if stale:
            self.finish()
        return stale

    def finish(self):
        for undo in self.undos:
            undo()
        self.undos.clear()
        if self.model.train_function is self:
            self.model.train_function = self.before
