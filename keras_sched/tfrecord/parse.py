"""Records of several lengths into tensors, by TensorFlow's own parser."""

_BITS = {"uint32": "int32", "uint64": "int64"}  # `decode_raw` knows no others so wide.


def spec(fields):
    """Returns what `tf.io.parse_example` and `parse_single_example` need to know.

    Args:
        fields: Tuple of `schema.Field`.
    """
    import tensorflow as tf

    kinds = {"integer": tf.int64, "float": tf.float32}
    features = {}
    for field in fields:
        if field.stores_shape:
            features[f"{field.name}/shape"] = tf.io.FixedLenFeature(
                [len(field.shape)], tf.int64
            )
            features[f"{field.name}/value"] = tf.io.FixedLenFeature([], tf.string)
        elif field.encoding in ("raw", "image"):
            features[field.name] = tf.io.FixedLenFeature([], tf.string)
        else:
            kind = kinds.get(field.encoding, tf.string)
            sides = field.shape[1:] if None in field.shape else field.shape
            many = tf.io.FixedLenSequenceFeature
            features[field.name] = (
                many(sides, kind, allow_missing=True)
                if None in field.shape
                else tf.io.FixedLenFeature(sides, kind)
            )
    return features


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


def one(payload, fields, image_size=None):
    """Returns what one record holds, a tensor for each field."""
    import tensorflow as tf

    parsed = tf.io.parse_single_example(payload, spec(fields))
    return [_decoded(field, parsed, (), image_size) for field in fields]


def several(payloads, fields, image_size=None):
    """Returns what records hold whose fields have one shape, a tensor for each field."""
    import tensorflow as tf

    parsed, count = tf.io.parse_example(payloads, spec(fields)), tf.size(payloads)
    return [_decoded(field, parsed, (count,), image_size) for field in fields]


def _decoded(field, parsed, leading, image_size):
    import tensorflow as tf

    sides = tuple(-1 if side is None else side for side in field.shape)
    if field.encoding == "image":
        return _images(field, parsed[field.name], leading, image_size)
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


def _images(field, contents, leading, image_size):
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
            image = tf.cond(is_webp, *ways)
        else:
            image = decoded(channels)
        image = tf.ensure_shape(image, (height, width, channels))
        if image_size and tuple(image_size) != (height, width):
            image = tf.image.resize(image, image_size, antialias=True)
            image = tf.saturate_cast(tf.round(image), dtype)
        return image

    if not leading:
        return decode(contents)
    return tf.map_fn(decode, contents, fn_output_signature=tf.TensorSpec(shape, dtype))
