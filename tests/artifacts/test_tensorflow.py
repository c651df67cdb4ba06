"""TensorFlow: what the saver needs is allowed, any other file is not, and damage never is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.artifacts.looking import allowed, look, record_of
from tests.artifacts.tensorflow_models import constant, folders, function, model, node

from interlock.artifacts import Limits
from interlock.artifacts.formats.tensorflow_operators import COMPUTES, READS_ASSETS, SAVES

FOLDERS = folders()
GOOD = FOLDERS["affine"]["saved_model.pb"]
INDEX = FOLDERS["affine"]["variables/variables.index"]


def test_no_operator_that_acts_is_among_those_that_compute() -> None:
    acting = {
        "ReadFile", "WriteFile", "MatchingFiles", "PyFunc", "PyFuncStateless", "EagerPyFunc", "LoadDataset",
        "DebugIdentity", "DebugIdentityV2", "PrintV2", "Save", "Restore", "SaveSlices", "TextLineDataset",
        "TFRecordDatasetV2", "CacheDatasetV2", "RemoteCall", "RpcCall", "ImmutableConst", "DecodeProtoV2",
        "FixedUnigramCandidateSampler", "XlaCallModule", "DataServiceDatasetV4", "WholeFileReaderV2",
        "CreateSummaryFileWriter", "DatasetFromGraph", "SaveDataset",
        "RegisterDatasetV2", "Abort", "DumpTensor",
        "Skipgram", "RecordInput", "FileSystemSetConfiguration",
        "LoadAndRemapMatrix", "GenerateVocabRemapping", "SnapshotDatasetV2",
    }  # fmt: skip
    assert not acting & COMPUTES
    assert not COMPUTES & (set(SAVES) | set(READS_ASSETS))


@pytest.mark.parametrize("name", ["saved_model.pb", "README.md", "model.safetensors"])
def test_name_does_not_decide_the_format(name: str, tmp_path: Path) -> None:
    assert not allowed(look(tmp_path, {name: model(node("ReadFile", "r", "x"))}))


def test_saver_of_a_model_may_append_what_savers_append() -> None:
    nodes = (
        node("Placeholder", "file"),
        constant("k", "_temp/part"),
        node("StringJoin", "x", "file", "k"),
        node("SaveV2", "s", "x:0"),
    )
    assert record_of(model(*nodes, saver="file:0")).clean
    assert not record_of(model(*nodes, saver="other:0")).clean


def test_functions_that_call_each_other_end() -> None:
    first = function("a", node("b", "c", "x"), node("SaveV2", "s", "x"))
    record = record_of(model(node("a", "n", "n"), functions=(first, function("b", node("a", "c", "x")))))
    assert not record.clean


@settings(max_examples=60, derandomize=True, database=None, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_mutant_of_a_saved_model_is_read_without_a_crash(at: int, put: bytes, drop: int) -> None:
    record_of(GOOD[:at] + put + GOOD[at + drop :])


@settings(max_examples=200, derandomize=True, database=None, deadline=None)
@given(st.integers(0, len(INDEX) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_mutant_of_a_checkpoint_index_is_read_without_a_crash(at: int, put: bytes, drop: int) -> None:
    assert not record_of(INDEX[:at] + put + INDEX[at + drop :]).clean


@settings(max_examples=60, derandomize=True, database=None, deadline=None)
@given(st.integers(1, len(GOOD) - 1))
def test_no_cut_of_a_saved_model_is_allowed(size: int) -> None:
    if size > 2:
        assert not record_of(GOOD[:size]).clean


def test_limit_on_fields_is_a_gap() -> None:
    assert "protobuf fields" in record_of(GOOD, limits=Limits(fields=300)).failed[0].reason
