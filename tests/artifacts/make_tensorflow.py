# mypy: ignore-errors
# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportMissingImports=false
"""Saves the models of ``tensorflow.zip`` with the real TensorFlow: ``python make_tensorflow.py OUT.zip``.

TensorFlow is no dependency of the tests, so this ran once, with tensorflow-cpu 2.21.0 under CPython 3.11; the zip holds
what it wrote, each model a folder of its own. Nothing in it was changed. Payloads are names of operators: they would
act only if somebody called the model's function.
"""

from __future__ import annotations

import sys
import tempfile
import zipfile
from pathlib import Path

import tensorflow as tf

TEXT = tf.TensorSpec([], tf.string)


class Affine(tf.Module):
    """Two variables and their product with the input."""

    def __init__(self) -> None:
        super().__init__()
        self.a = tf.Variable(0.5)
        self.b = tf.Variable(tf.ones([3]))

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32)])
    def __call__(self, x):
        return x * self.a + self.b


class Vocabulary(tf.Module):
    """A table that is filled from an asset."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self.asset = tf.saved_model.Asset(file)
        rows = tf.lookup.TextFileInitializer(
            self.asset, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
        )
        self.table = tf.lookup.StaticHashTable(rows, -1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, x):
        return self.table.lookup(x)


class Loop(tf.Module):
    """A loop, a condition and a printed line."""

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32)])
    def __call__(self, n):
        total = 0
        for i in tf.range(n):
            if i > 2:
                total += i
        tf.print("total", total)
        return total


def network() -> tf.keras.Model:
    """A small convolutional network."""
    tf.keras.utils.set_random_seed(0)
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [tf.keras.Input((8, 8, 1)), layers.Conv2D(2, 3, activation="relu"), layers.BatchNormalization(),
         layers.Flatten(), layers.Dense(2)]
    )  # fmt: skip


def session(folder: str) -> None:
    """A model as TensorFlow 1 saved it."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as running:
        x = tf.compat.v1.placeholder(tf.float32, [None, 1], name="x")
        y = tf.matmul(x, tf.compat.v1.get_variable("w", [1, 1]))
        running.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.saved_model.simple_save(running, folder, {"x": x}, {"y": y})


def frozen(folder: str) -> None:
    """A graph without variables, as TensorFlow 1 froze it."""
    with tf.Graph().as_default() as graph:
        tf.nn.relu(tf.compat.v1.placeholder(tf.float32, [2], name="x") * tf.constant([1.0, 2.0]), name="y")
        tf.io.write_graph(graph.as_graph_def(), folder, "frozen.pb", as_text=False)


def text_graph(folder: str) -> None:
    """The same as text."""
    with tf.Graph().as_default() as graph:
        tf.io.read_file("/etc/passwd", name="y")
        tf.io.write_graph(graph.as_graph_def(), folder, "graph.pbtxt", as_text=True)


def table(x):
    """Fills a table from a file of the model's choice."""
    handle = tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)
    tf.raw_ops.InitializeTableFromTextFileV2(table_handle=handle, filename="/etc/passwd", key_index=-2, value_index=-1)
    return x


def then(result):
    """A function that does something and gives its input back."""
    return lambda x: (result(x), x)[1]


def nested(x):
    """Reads a file behind a condition inside of a loop."""
    for _ in tf.range(2):
        if tf.strings.length(x) > 3:
            x = tf.io.read_file(x)
    return x


HOSTILE = {
    "read-file": lambda x: tf.io.read_file("/etc/passwd"),
    "read-file-nested": nested,
    "write-file": then(lambda x: tf.io.write_file("/tmp/x", "y")),
    "matching-files": lambda x: tf.io.matching_files("/etc/*"),
    "print-to-file": then(lambda x: tf.print(x, output_stream="file:///tmp/x")),
    "py-function": lambda x: tf.py_function(lambda y: y, [x], tf.string),
    "numpy-function": lambda x: tf.numpy_function(lambda y: y, [x], tf.string),
    "restore": lambda x: tf.raw_ops.RestoreV2(
        prefix="/etc/x", tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]
    ),
    "save": then(lambda x: tf.raw_ops.SaveV2(prefix="/tmp/x", tensor_names=["a"], shape_and_slices=[""], tensors=[x])),
    "save-where-the-caller-says": then(
        lambda x: tf.raw_ops.SaveV2(prefix=x, tensor_names=["a"], shape_and_slices=[""], tensors=[x])
    ),
    "text-dataset": lambda x: tf.data.TextLineDataset("/etc/passwd").reduce("", lambda a, b: a + b),
    "dataset-cache": lambda _: tf.data.Dataset.range(3).cache("/tmp/x").reduce(tf.constant(0, tf.int64), tf.add),
    "debug-identity": lambda x: tf.raw_ops.DebugIdentityV2(input=x, debug_urls=["file:///tmp/x"]),
    "table-from-any-file": table,
}  # fmt: skip


def main(out: str) -> None:
    """Save all of them."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "vocab.txt").write_text("a\nb\n")
        save = tf.saved_model.save
        save(Affine(), f"{folder}/affine")
        save(model := Affine(), f"{folder}/affine-signature", signatures=model.__call__)
        save(Vocabulary(f"{folder}/vocab.txt"), f"{folder}/vocabulary")
        save(Loop(), f"{folder}/control-flow")
        network().export(f"{folder}/keras-export", verbose=False)
        session(f"{folder}/tensorflow-1")
        frozen(f"{folder}/frozen")
        text_graph(f"{folder}/hostile-text")
        for name, function in HOSTILE.items():
            module = tf.Module()
            module.f = tf.function(function, input_signature=[TEXT])
            save(module, f"{folder}/hostile-{name}")
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(root.rglob("*")):
                if file.is_file() and file.parent != root:
                    archive.write(file, file.relative_to(root).as_posix())


if __name__ == "__main__":
    main(sys.argv[1])
