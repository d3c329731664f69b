"""Records of several lengths into tensors, by TensorFlow's own parser."""

import re

from keras_sched.tfrecord import images

_BITS = {"uint32": "int32", "uint64": "int64"}  # `decode_raw` knows no others so wide.


def wanted(fields):
    """Yields what stands in a record: its name, kind, sides, and whether lengths differ.

    Args:
        fields: Tuple of `schema.Field`.
    """
    kinds = {"integer": "int64", "float": "float32"}
    for field in fields:
        if field.stores_shape:
            yield f"{field.name}/shape", "int64", [len(field.shape)], False
            yield f"{field.name}/value", "string", [], False
        elif field.encoding in ("raw", "image"):
            yield field.name, "string", [], False
        else:
            kind, several = kinds.get(field.encoding, "string"), None in field.shape
            yield field.name, kind, list(field.shape[several:]), several


def spec(fields):
    """Returns what `tf.io.parse_example` and `parse_single_example` need to know."""
    import tensorflow as tf

    one, many = tf.io.FixedLenFeature, tf.io.FixedLenSequenceFeature
    return {
        name: many(sides, kind, allow_missing=True) if several else one(sides, kind)
        for name, kind, sides, several in wanted(fields)
    }


def spec_texts(fields):
    """Returns the same as Python, by name."""
    return {
        name: f"tf.io.FixedLenSequenceFeature({sides}, tf.{kind}, allow_missing=True)"
        if several
        else f"tf.io.FixedLenFeature({sides}, tf.{kind})"
        for name, kind, sides, several in wanted(fields)
    }


def features(payload):
    """Returns the kind and the values of each feature, by name, whatever the fields.

    `None` is for what is no `tf.train.Example`.
    """
    import tensorflow as tf
    from google.protobuf import message

    try:
        found = tf.train.Example.FromString(payload).features.feature
    except message.DecodeError:
        return None
    kinds = {name: feature.WhichOneof("kind") for name, feature in found.items()}
    return {n: (k, getattr(found[n], k).value if k else ()) for n, k in kinds.items()}


def one(payload, fields, image_size=None, failed=None):
    """Returns what one record holds, a tensor for each field.

    Args:
        payload: Scalar tensor of its bytes.
        fields: Tuple of `schema.Field`.
        image_size: As `load` has it.
        failed: What is called where an image cannot be decoded, to say which; a function
            of nothing that returns a tensor. `None`: TensorFlow says what is wrong.
    """
    import tensorflow as tf

    parsed = tf.io.parse_single_example(payload, spec(fields))
    return [_decoded(field, parsed, (), image_size, failed) for field in fields]


def several(payloads, fields, image_size, failed):
    """Returns the same of records whose fields have one shape, from a vector of them."""
    import tensorflow as tf

    parsed, count = tf.io.parse_example(payloads, spec(fields)), tf.size(payloads)
    return [_decoded(field, parsed, (count,), image_size, failed) for field in fields]


def telling(error):
    """Returns of an error of TensorFlow the line that says what is wrong."""
    text = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", error.message)
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("[[")][-1]


def _decoded(field, parsed, leading, image_size, failed):
    import tensorflow as tf

    sides = tuple(-1 if side is None else side for side in field.shape)
    if field.encoding == "image":
        return _images(field, parsed[field.name], leading, image_size, failed)
    if field.encoding == "raw":
        value = parsed[f"{field.name}/value" if field.stores_shape else field.name]
        bits = tf.io.decode_raw(value, _BITS.get(field.dtype, field.dtype))
        value = tf.bitcast(bits, field.dtype) if field.dtype in _BITS else bits
        if field.stores_shape:
            sides = parsed[f"{field.name}/shape"]
        value = tf.reshape(value, (*leading, *sides) if leading else sides)
    else:
        value = parsed[field.name]
        value = value if field.dtype == "string" else tf.cast(value, field.dtype)
    return tf.ensure_shape(value, (*(None for _ in leading), *field.shape))


def _images(field, contents, leading, image_size, failed):
    import tensorflow as tf

    height, width, channels = field.shape
    dtype = tf.as_dtype(field.dtype)
    shape = (*(image_size or (height, width)), channels)

    def decode(content):
        def decoded(channels):
            return tf.image.decode_image(content, channels or 0, dtype, None, False)

        if "webp" in field.formats:  # It is decoded with its own channels, or not at all.
            is_webp = tf.strings.substr(content, 8, 4) == "WEBP"
            ways = lambda: decoded(0)[..., :channels], lambda: decoded(channels)
            with tf.control_dependencies([_assert_still(content, is_webp)]):
                image = tf.cond(is_webp, *ways)
        else:
            image = decoded(channels)
        image = tf.ensure_shape(image, (height, width, channels))
        if image_size and tuple(image_size) != (height, width):
            image = tf.image.resize(image, image_size, antialias=True)
            image = tf.saturate_cast(tf.round(image), dtype)
        return image

    if leading:
        return _all_or_failed(decode, contents, tf.TensorSpec(shape, dtype), failed)
    return _one_or_failed(decode, contents, failed) if failed else decode(contents)


def _assert_still(content, is_webp):
    """Refuses a WebP that moves: TensorFlow would write past what it has reserved."""
    import tensorflow as tf

    extended = is_webp & (tf.strings.substr(content, 12, 4) == "VP8X")
    flags = tf.io.decode_raw(tf.strings.substr(content, 20, 1), tf.uint8)[0]
    moves = extended & (flags & images.MOVES > 0)
    return tf.debugging.Assert(tf.logical_not(moves), ["an animated WebP"])


def _all_or_failed(decode, contents, spec, failed):
    """Returns images of one shape; calls `failed` where there are not as many."""
    import tensorflow as tf

    many, spare = tf.size(contents, tf.int64), tf.zeros(spec.shape, spec.dtype)
    decoded = tf.data.Dataset.from_tensor_slices(contents).map(decode).ignore_errors()
    padded = decoded.concatenate(tf.data.Dataset.from_tensors(spare))
    images = padded.batch(many + 1).get_single_element()[:-1]
    whole = tf.size(images[:, 0, 0, 0], tf.int64) == many
    with tf.control_dependencies([tf.cond(whole, lambda: True, failed)]):
        return tf.identity(images)


def _one_or_failed(decode, content, failed):
    """Returns an image; calls `failed` where there is none."""
    import tensorflow as tf

    decoded = tf.data.Dataset.from_tensors(content).map(decode)
    decoded = decoded.map(lambda image: (image, True)).ignore_errors()
    side = [1 if n is None else n for n in decoded.element_spec[0].shape]
    spare = tf.zeros(side, decoded.element_spec[0].dtype), False
    padded = decoded.concatenate(tf.data.Dataset.from_tensors(spare)).take(1)
    image, whole = padded.get_single_element()
    with tf.control_dependencies([tf.cond(whole, lambda: True, failed)]):
        return tf.identity(image)
