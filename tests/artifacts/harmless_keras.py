"""Harmless files really saved by Keras (on torch) and h5py."""

from __future__ import annotations

import io
import json
import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]  # no stubs
import numpy as np
from tests.artifacts.harmless import Harmless, one

PROFILE = "torch-state-dict"


def _keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    import keras  # type: ignore[import-untyped]  # no stubs

    keras.utils.set_random_seed(0)
    return keras


def _dense() -> Any:
    keras = _keras()
    layers = keras.layers
    model = keras.Sequential(
        [layers.Input((4,)), layers.Dense(3, "relu", kernel_regularizer="l2"), layers.Dropout(0.1), layers.Dense(1)]
    )
    model.compile(keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(0.1, 10)), "mse", metrics=["mae"])
    model.train_on_batch(np.ones((2, 4)), np.ones((2, 1)))
    return model


def _convolution() -> Any:
    keras = _keras()
    layers = keras.layers
    inputs = keras.Input((8, 8, 1), name="größe")
    x = layers.RandomFlip("horizontal")(layers.Rescaling(1 / 255)(inputs))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", activation=keras.activations.gelu)(x))
    y = layers.SeparableConv2D(4, 3, padding="same")(x)
    z = layers.GlobalAveragePooling2D()(layers.Add()([x, y]))
    return keras.Model(inputs, [layers.Dense(2, "softmax", name="label")(z), layers.Dense(1)(z)], name="two_heads")


def _recurrent() -> Any:
    keras = _keras()
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((5,)),
            layers.Embedding(10, 4, mask_zero=True),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
            layers.TimeDistributed(layers.Dense(2)),
            layers.RNN(layers.StackedRNNCells([layers.GRUCell(2), layers.SimpleRNNCell(2)])),
        ]
    )


def _operations() -> Any:
    keras = _keras()
    inputs = keras.Input((4,))
    x = keras.ops.relu(inputs) + inputs * 2.0
    x = keras.ops.concatenate([x, keras.ops.expand_dims(x[:, 0], -1)], axis=-1)
    model = keras.Model(inputs, keras.ops.mean(x, axis=-1))
    model.compile("sgd", loss=keras.losses.mean_squared_error, metrics=[keras.metrics.AUC()])
    return model


def _attention() -> Any:
    keras = _keras()
    layers = keras.layers
    inputs = keras.Input((6, 4))
    x = layers.LayerNormalization()(layers.MultiHeadAttention(2, 2)(inputs, inputs))
    shared = layers.Dense(4, dtype="mixed_float16", kernel_constraint=keras.constraints.MaxNorm(2.0))
    return keras.Model(inputs, shared(shared(x)))


def _nested() -> Any:
    keras = _keras()
    inner = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(4, "tanh")], name="inner")
    outer = keras.Input((4,))
    return keras.Model(outer, inner(inner(outer)))


MODELS: dict[str, Callable[[], Any]] = {
    "dense": _dense, "convolution": _convolution, "recurrent": _recurrent, "operations": _operations,
    "attention": _attention, "nested": _nested,
}  # fmt: skip


def _saved(model: Any, name: str, **options: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / name
        if name.endswith(".weights.h5"):
            model.save_weights(path)
        else:
            model.save(path, **options)
        return path.read_bytes()


def _folder(archive: bytes) -> Harmless:
    """What ``save(zipped=False)`` leaves; written out of the zip, so that only one model is built."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        files = {name: opened.read(name) for name in opened.namelist()}
    return Harmless(profile=PROFILE, files=files, formats=frozenset({"json", "hdf5"}))


def _h5(fill: Callable[[h5py.File], object], **options: Any) -> bytes:
    out = io.BytesIO()
    with h5py.File(out, "w", **options) as file:
        fill(file)
    return out.getvalue()


def _many_kinds(file: h5py.File) -> None:
    file["numbers"] = np.arange(6.0).reshape(2, 3)
    file["texts"] = ["größe", "b"]
    file["one"] = "text"
    file["rows"] = np.zeros(2, dtype=[("a", "f4"), ("b", "i8"), ("c", "S3")])
    file["flags"] = np.array([True, False])
    file["complex"] = np.ones(2, "c8")
    file["opaque"] = np.void(b"abc")
    file["nothing"] = h5py.Empty("f4")
    file.create_dataset("packed", data=np.ones((300, 300)), compression="gzip", shuffle=True, fletcher32=True)
    file.create_dataset("growing", data=np.zeros((2, 2)), maxshape=(None, 2))
    file.attrs.update({"a": 1, "b": np.arange(5), "c": np.bytes_("hi"), "d": b"zz", "e": ["a", "b"], "f": "[no json"})


def harmless_hdf5() -> dict[str, Harmless]:
    """Every harmless subject of h5py by name."""
    files = {
        "h5-many-kinds": _h5(_many_kinds),
        "h5-empty": _h5(lambda file: None),
        "h5-many-objects": _h5(lambda file: [file.create_dataset(f"g{n % 9}/{n}", data=n) for n in range(600)]),
        "h5-new-style": _h5(lambda file: [file.create_group(f"{n}/a") for n in range(5)], libver="latest"),
        "h5-ordered": _h5(lambda file: file.create_group("a", track_order=True), track_order=True),
        "h5-many-attributes": _h5(lambda file: [file.attrs.create(str(n), "x" * 300) for n in range(40)]),
    }
    return {name: one(PROFILE, content, "hdf5") for name, content in files.items()}


def harmless_keras() -> dict[str, Harmless]:
    """Every harmless subject of Keras by name; importing it takes seconds."""
    cases: dict[str, Harmless] = {}
    for name, build in MODELS.items():
        model = build()
        archive = _saved(model, "model.keras")
        cases[f"keras-{name}"] = one(PROFILE, archive, "keras")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cases[f"keras-json-{name}"] = one(PROFILE, model.to_json().encode(), "json")
        if name in ("dense", "recurrent", "attention"):
            cases[f"keras-legacy-h5-{name}"] = one(PROFILE, _saved(model, "model.h5"), "hdf5")
            cases[f"keras-weights-h5-{name}"] = one(PROFILE, _saved(model, "model.weights.h5"), "hdf5")
    cases["keras-folder"] = _folder(cases["keras-nested"].files[""])
    files = dict(cases["keras-folder"].files) | {"metadata.json": json.dumps({"keras_version": "3.0.0"}).encode()}
    cases["keras-folder-of-an-older-version"] = Harmless(
        profile=PROFILE, files=files, formats=frozenset({"json", "hdf5"})
    )
    return cases
