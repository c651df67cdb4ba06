"""Data validation with Great Expectations.

`ValidationGate` measures and finds; whether a finding stops the pipeline is policy's to say. Great Expectations, pandas
and pyarrow are imported when a gate looks, never before.
"""

from interlock.validation.datasources import GxDatasource, SparkFiles, SqlFile, datasource_from
from interlock.validation.frames import FrameOpener, write_frame
from interlock.validation.gate import ValidationGate
from interlock.validation.progress import ProgressSink, Silent
from interlock.validation.suggest import suggest
from interlock.validation.suite import RequiredExpectation, Suite, load_suite

__all__ = [
    "FrameOpener",
    "GxDatasource",
    "ProgressSink",
    "RequiredExpectation",
    "Silent",
    "SparkFiles",
    "SqlFile",
    "Suite",
    "ValidationGate",
    "datasource_from",
    "load_suite",
    "suggest",
    "write_frame",
]
