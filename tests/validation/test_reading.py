from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]  # no stubs are published
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # no stubs are published
import pytest

from interlock.gate import SubjectError, UnsafeSubjectError, UsageError
from interlock.validation.reading import read_table
from interlock.validation.table import CsvDialect, ReadOptions, Table

FRAME = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]})


def read(path: Path, **options: object) -> Table:
    files: tuple[str, ...] = ("",)
    if path.is_dir():
        files = tuple(sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()))
    return read_table(path, files, name=path.name, options=ReadOptions(**options))  # type: ignore[arg-type] # per test


def test_a_parquet_file_reads_as_pandas_reads_it(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "i": [1, 2],
            "f": [0.5, None],
            "s": ["x", None],
            "t": pd.to_datetime(["2024-01-01", "2024-01-02"]),
            "z": pd.to_datetime(["2024-01-01", "2024-01-02"], utc=True),
            "c": pd.Categorical(["u", "v"]),
            "n": pd.array([1, None], dtype="Int64"),
            "l": [[1], [2, 3]],
        }
    )
    path = tmp_path / "d.parquet"
    frame.to_parquet(path)
    pd.testing.assert_frame_equal(read(path).frame, pd.read_parquet(path))


def test_a_csv_file_reads_as_pandas_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text('a,b\n1,"x, ""y"""\n2,"two\nlines"\n\n3,\n', encoding="utf-8-sig")
    pd.testing.assert_frame_equal(read(path).frame, pd.read_csv(path))


def test_a_folder_is_one_table_and_rows_keep_their_file(tmp_path: Path) -> None:
    FRAME.to_parquet(tmp_path / "part-1.parquet")
    FRAME.iloc[:2].to_parquet(tmp_path / "part-0.parquet")
    (tmp_path / "_SUCCESS").write_text("")
    table = read(tmp_path)
    assert list(table.frame["a"]) == [1, 2, 1, 2, 3]
    assert [(str(table.place(row).path), table.place(row).row) for row in (0, 1, 2, 4)] == [
        ("part-0.parquet", 0),
        ("part-0.parquet", 1),
        ("part-1.parquet", 0),
        ("part-1.parquet", 2),
    ]
    assert [gap.path for gap in table.skipped] == ["_SUCCESS"]


def test_a_partitioned_folder_has_the_column_of_its_folder_names(tmp_path: Path) -> None:
    for year in (2023, 2024):
        (tmp_path / f"year={year}").mkdir()
        FRAME.to_parquet(tmp_path / f"year={year}" / "part.parquet")
    assert list(read(tmp_path).frame["year"]) == [2023] * 3 + [2024] * 3


def test_a_column_in_files_and_folder_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a=7").mkdir()
    FRAME.to_parquet(tmp_path / "a=7" / "part.parquet")
    with pytest.raises(SubjectError, match="'a' stands in the files and in the names"):
        read(tmp_path)


def test_a_part_whose_column_is_all_null_joins_the_others(tmp_path: Path) -> None:
    FRAME.assign(b=None).to_parquet(tmp_path / "a.parquet")
    FRAME.to_parquet(tmp_path / "b.parquet")
    assert list(read(tmp_path).frame["b"].dropna()) == ["x", "y"]


def test_the_path_of_a_single_file_adds_no_column(tmp_path: Path) -> None:
    (tmp_path / "year=2024").mkdir()
    FRAME.to_parquet(tmp_path / "year=2024" / "d.parquet")
    assert list(read(tmp_path / "year=2024" / "d.parquet").frame.columns) == ["a", "b"]


def test_a_folder_of_csv_files_is_one_table(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        FRAME.to_csv(tmp_path / name, index=False)
    table = read(tmp_path)
    assert len(table.frame) == 6
    assert table.place(3).path == "b.csv"


def test_a_column_that_pandas_stored_as_index_is_still_a_column(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    FRAME.set_index("b").to_parquet(path)
    assert set(read(path).frame.columns) == {"a", "b"}


def test_an_unnamed_stored_index_is_skipped_and_said(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    FRAME.iloc[[2, 0, 1]].to_parquet(path)
    table = read(path)
    assert list(table.frame.columns) == ["a", "b"]
    assert list(table.frame.index) == [0, 1, 2]
    assert "index" in table.skipped[0].reason


def forged(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A Parquet file whose pandas metadata was changed, and nothing else."""
    table = pa.Table.from_pandas(FRAME)
    metadata = json.loads(table.schema.metadata[b"pandas"])
    change(metadata)
    pq.write_table(table.replace_schema_metadata({b"pandas": json.dumps(metadata).encode()}), path / "d.parquet")
    return path / "d.parquet"


def hide(metadata: dict[str, Any]) -> None:
    metadata["columns"][1]["name"] = "hidden"


def swap(metadata: dict[str, Any]) -> None:
    first, second = metadata["columns"][:2]
    first["name"], second["name"] = second["name"], first["name"]


@pytest.mark.parametrize("forgery", [hide, swap])
def test_pandas_metadata_cannot_rename_what_training_reads(
    tmp_path: Path, forgery: Callable[[dict[str, Any]], None]
) -> None:
    with pytest.raises(SubjectError, match="renames columns"):
        read(forged(tmp_path, forgery))


def test_pandas_metadata_cannot_take_a_column_away_as_an_index(tmp_path: Path) -> None:
    def as_index(metadata: dict[str, Any]) -> None:
        metadata["index_columns"] = ["a"]

    frame = read(forged(tmp_path, as_index)).frame
    assert list(frame.columns) == ["a", "b"]
    assert list(frame["a"]) == [1, 2, 3]


def test_pandas_metadata_that_is_no_json_is_one_clear_message(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    pq.write_table(pa.Table.from_pandas(FRAME).replace_schema_metadata({b"pandas": b"{"}), path)
    with pytest.raises(SubjectError, match="cannot be read"):
        read(path)


def test_only_the_wanted_columns_are_read_and_the_rest_is_said(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    FRAME.to_parquet(path)
    table = read(path, columns=frozenset({"a", "not there"}))
    assert list(table.frame.columns) == ["a"]
    assert "b" in table.skipped[0].reason


def truncated(path: Path) -> Path:
    FRAME.to_parquet(path / "d.parquet")
    whole = (path / "d.parquet").read_bytes()
    (path / "d.parquet").write_bytes(whole[: len(whole) // 2])
    return path / "d.parquet"


def flipped_page(path: Path) -> Path:
    file = path / "d.parquet"
    pq.write_table(pa.table({"a": list(range(1000))}), file, write_page_checksum=True, compression="none")
    whole = bytearray(file.read_bytes())
    whole[200] ^= 0xFF
    file.write_bytes(bytes(whole))
    return file


def broken_text(path: Path) -> Path:
    file = path / "d.parquet"
    bad = pa.StringArray.from_buffers(
        2, pa.py_buffer(b"\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00"), pa.py_buffer(b"\xff\xfe")
    )
    pq.write_table(pa.table({"a": bad}), file)
    return file


def twice_named(path: Path) -> Path:
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["label", "label"]), path / "d.parquet")
    return path / "d.parquet"


def mixed_folder(path: Path) -> Path:
    FRAME.to_parquet(path / "a.parquet")
    FRAME.to_csv(path / "b.csv", index=False)
    return path


def stray_file(path: Path) -> Path:
    FRAME.to_parquet(path / "a.parquet")
    (path / "README.md").write_text("hello")
    return path


def lacking_column(path: Path) -> Path:
    FRAME.to_parquet(path / "a.parquet")
    FRAME[["a"]].to_parquet(path / "b.parquet")
    return path


def other_type(path: Path) -> Path:
    FRAME.to_parquet(path / "a.parquet")
    FRAME.assign(a=["1", "2", "3"]).to_parquet(path / "b.parquet")
    return path


def delta_table(path: Path) -> Path:
    FRAME.to_parquet(path / "a.parquet")
    (path / "_delta_log").mkdir()
    (path / "_delta_log" / "0.json").write_text("{}")
    return path


def only_hidden(path: Path) -> Path:
    (path / "_SUCCESS").write_text("")
    return path


def file_of(name: str, content: bytes) -> Callable[[Path], Path]:
    def make(path: Path) -> Path:
        (path / name).write_bytes(content)
        return path / name

    return make


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(truncated, "truncated", id="truncated Parquet"),
        pytest.param(flipped_page, "cannot be read", id="flipped bit in a page"),
        pytest.param(broken_text, "cannot be read", id="Parquet text that is not UTF-8"),
        pytest.param(twice_named, "'label' stands twice", id="Parquet column twice"),
        pytest.param(file_of("d.parquet", b""), "empty", id="empty file"),
        pytest.param(file_of("d.parquet", b"hello, world"), "does not begin with PAR1", id="text named Parquet"),
        pytest.param(file_of("d.parquet", b"PAR1" * 10), "cannot be read", id="magic alone"),
        pytest.param(file_of("d.csv", b"PAR1"), "claims to be CSV", id="Parquet named CSV"),
        pytest.param(file_of("d.csv.gz", b"\x1f\x8b\x08"), "neither Parquet nor", id="compressed CSV"),
        pytest.param(file_of("d", b"a,b\n1,2\n"), "neither Parquet nor", id="no suffix"),
        pytest.param(mixed_folder, "mixes formats: a.parquet is parquet, b.csv is csv", id="mixed folder"),
        pytest.param(stray_file, "README.md", id="stray file in folder"),
        pytest.param(lacking_column, "'b' is not in every file", id="folder with a column missing in one file"),
        pytest.param(other_type, "different types", id="folder with two types of a column"),
        pytest.param(delta_table, "Delta table", id="Delta table"),
        pytest.param(only_hidden, "no data file", id="folder without data"),
        pytest.param(file_of("d.csv", b"a,b\n1,2\n\xff,3\n"), "d.csv, byte 8", id="CSV of another encoding"),
        pytest.param(file_of("d.csv", b"a,b\n1,\xc3"), "d.csv, byte 6", id="CSV cut inside a character"),
        pytest.param(
            file_of("d.csv", b"a,b\n1,2\n3\n"), "row 3, counting the header as 1, has 1 fields", id="short row"
        ),
        pytest.param(file_of("d.csv", b"a,b\n1,2\n3,4,5\n"), "has 3 fields", id="long row"),
        pytest.param(file_of("d.csv", b"a,b\n9,1,2\n8,3,4\n"), "has 3 fields", id="CSV whose first column is an index"),
        pytest.param(file_of("d.csv", b"label,label\n1,2\n"), "'label' stands twice", id="CSV column twice"),
        pytest.param(file_of("d.csv", b"\n\n"), "no header", id="CSV of empty lines"),
        pytest.param(file_of("d.csv", b'a,b\n1,"x\n'), "EOF inside string", id="CSV with an open quote"),
    ],
)
def test_unreadable_data_is_one_clear_message(tmp_path: Path, make: Callable[[Path], Path], said: str) -> None:
    with pytest.raises(SubjectError) as caught:
        read(make(tmp_path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_messages_about_csv_do_not_quote_it(tmp_path: Path) -> None:
    with pytest.raises(SubjectError) as caught:
        read(file_of("d.csv", b"name,iban\nAda Lovelace\n")(tmp_path))
    assert "Ada" not in str(caught.value)


def test_a_table_past_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"a": pa.array([0] * 1_000_000, pa.int8())}), path)
    assert path.stat().st_size < 10_000
    with pytest.raises(UnsafeSubjectError, match="more than 1000 cells"):
        read(path, max_cells=1000)


def test_a_database_says_which_option_it_needs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sql-file"):
        read(file_of("d.db", b"SQLite format 3\x00" + b"\x00" * 100)(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "dialect"),
    [
        pytest.param("d.tsv", b"a\tb\n1\t2\n", CsvDialect(), id="tsv by its name"),
        pytest.param("d.csv", b"a;b\n1;2\n", CsvDialect(separator=";"), id="semicolon"),
        pytest.param("d.csv", "ä,b\n1,2\n".encode("latin-1"), CsvDialect(encoding="latin-1"), id="latin-1"),
        pytest.param("d.csv", "a,b\n1,2\n".encode("utf-16"), CsvDialect(encoding="utf-16"), id="utf-16"),
    ],
)
def test_a_dialect_is_obeyed(tmp_path: Path, name: str, content: bytes, dialect: CsvDialect) -> None:
    assert read(file_of(name, content)(tmp_path), csv=dialect).frame.iloc[0].tolist() == [1, 2]


def test_a_file_without_suffix_is_csv_when_one_says_so(tmp_path: Path) -> None:
    assert len(read(file_of("d", b"a\n1\n")(tmp_path), file_format="csv").frame) == 1


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: CsvDialect(separator=";;"), id="long separator"),
        pytest.param(lambda: CsvDialect(encoding="klingon"), id="unknown encoding"),
        pytest.param(lambda: ReadOptions(file_format="xlsx"), id="unknown format"),
    ],
)
def test_a_wrong_read_option_is_a_usage_error(make: Callable[[], object]) -> None:
    with pytest.raises(UsageError):
        make()
