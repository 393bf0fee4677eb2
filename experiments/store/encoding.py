"""Rows to the bytes of one Parquet file and back, checked on their way back against the tables of `records`.

On their way there `checked_rows` does. Where the bytes are kept, and which rows count, is not known here.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dit_grid.experiments.store.columns import repeated
from dit_grid.experiments.store.errors import DamagedFileError, NewerVersionError, StoreError
from dit_grid.experiments.store.records import SCHEMA_VERSION, Table

_COVERS = b"dit_grid.covers"
_ROW_GROUP = 4096
_TABLE, _VERSION = b"dit_grid.table", b"dit_grid.schema_version"

_File = tuple[str, pa.Table, Mapping[str, Any]]
"""A file's name, its rows in its own form, and the constants that its name says of them."""


def encode(rows: pa.Table, covers: Mapping[int, int] | None = None) -> bytes:
    """A Parquet file of the rows; `covers` marks a compaction and says how many segments of each attempt it replaces.

    Small files are packed with lz4, which halves the time to read thousands of them; compactions with zstd, in row
    groups, the last row in one of its own: it says where a run stands, and is then read alone. Every page carries a
    checksum.
    """
    if covers is not None:
        named = {str(attempt): count for attempt, count in sorted(covers.items())}
        rows = rows.replace_schema_metadata({**rows.schema.metadata, _COVERS: json.dumps(named)})
    names = [field.name for field in rows.schema if pa.types.is_string(field.type)]
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        rows.schema,
        compression="lz4" if covers is None else "zstd",
        use_dictionary=names,
        write_page_checksum=True,
    ) as file:
        before_last = len(rows) - 1 if covers is not None and len(rows) > 1 else len(rows)
        file.write_table(rows.slice(0, before_last), _ROW_GROUP)
        if before_last < len(rows):
            file.write_table(rows.slice(before_last))
    return sink.getvalue().to_pybytes()


def decode(
    table: Table, data: bytes, name: str, constants: Mapping[str, Any], tail: bool = False
) -> tuple[pa.Table, dict[int, int]]:
    """(rows, covers) of the file `name`: exactly the table's columns, those its writer did not know yet as null.

    Columns in `constants` are not read but filled: the file's name is the authority for whose rows it holds. `tail`
    reads the last row group only. Raises DamagedFileError, or NewerVersionError for a later schema version.
    """
    rows, covers = _checked(table, data, name, constants, tail)
    return _joined(table, [(name, rows, constants)]), covers


def misplaced_column(data: bytes) -> str:
    """What is wrong with where a Parquet file's footer says that columns lie; each begins where the one before ends.

    Pages have checksums, the footer has none: a place in it that is damaged can lead to another column's sound page.
    """
    footer, due = pq.read_metadata(pa.BufferReader(data)), 4
    for group in range(footer.num_row_groups):
        for number in range(footer.num_columns):
            column = footer.row_group(group).column(number)
            begins = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
            if begins != due:
                return f"its footer places column {column.path_in_schema!r} at byte {begins}; it lies at {due}"
            due += column.total_compressed_size
    return ""


def decode_together(
    table: Table, files: Iterable[tuple[str, bytes, Mapping[str, Any]]], tail: bool = False
) -> list[pa.Table]:
    """The rows of several (name, bytes, constants), in order, each file checked as by `decode`.

    Neighbours of one form, all files of a store as a rule, give one table: making a table for each would cost a fifth
    of the time that reading thousands of small files takes.
    """
    alike: list[list[_File]] = []
    for name, data, constants in files:
        rows, _ = _checked(table, data, name, constants, tail)
        if not alike or not rows.schema.equals(alike[-1][0][1].schema):
            alike.append([])
        alike[-1].append((name, rows, constants))
    return [_joined(table, files_of_one_form) for files_of_one_form in alike]


def _checked(
    table: Table, data: bytes, name: str, constants: Mapping[str, Any], tail: bool
) -> tuple[pa.Table, dict[int, int]]:
    """The file's rows in its own form, without the columns in `constants`, and what it covers."""
    with _readable(table, name):
        file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
        # Not `file.schema_arrow`, which takes a tenth of the time of all this, nor `metadata.schema`, which ties the
        # file into a reference cycle that keeps its bytes until the garbage collector finds it.
        metadata = file.metadata.metadata or {}
        names = _names_in(table, metadata, name)
        groups = range(file.num_row_groups)[-1:] if tail else range(file.num_row_groups)
        wanted = [column for column in names if column not in constants]
        rows = file.read_row_groups(list(groups), columns=wanted, use_threads=False)
        if missing := set(wanted).difference(rows.column_names):
            raise DamagedFileError(f"{name}: has no column {sorted(missing)[0]!r}; {_REMEDY}")
        if file.metadata.num_columns < len(names):
            raise ValueError(f"{file.metadata.num_columns} columns, there must be {len(names)}")
        if not tail and len(rows) != file.metadata.num_rows:
            raise ValueError(f"{len(rows)} rows, its footer says {file.metadata.num_rows}")
        covers = json.loads(metadata[_COVERS]) if _COVERS in metadata else {}
        return rows, {int(attempt): int(count) for attempt, count in covers.items()}


def _joined(table: Table, files: Sequence[_File]) -> pa.Table:
    """The rows of files of one form in the table's form: constants and nulls filled in."""
    name, first, constants = files[0]
    with _readable(table, name):
        rows = pa.concat_tables([held for _, held, _ in files]) if len(files) > 1 else first
        held = dict(zip(rows.column_names, rows.columns, strict=True))
        counts = [len(each) for _, each, _ in files]
        for one in table.columns:
            if one.name in constants:
                held[one.name] = repeated([named[one.name] for _, _, named in files], counts, one.type)
            elif one.name not in held:
                held[one.name] = pa.nulls(len(rows), one.type)
        return pa.Table.from_arrays([held[one.name] for one in table.columns], schema=table.schema)


@contextlib.contextmanager
def _readable(table: Table, name: str) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except (
        pa.ArrowException, OSError, ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError,
        MemoryError, RecursionError,
    ) as error:  # fmt: skip
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DamagedFileError(f"{name}: not a readable {table.name} file ({reason}); {_REMEDY}") from error


_REMEDY = "no writer of this store leaves such a file: restore it from a backup, or move it out of the store"


def _names_in(table: Table, metadata: Mapping[bytes, bytes], name: str) -> list[str]:
    """The table's columns that the file has: all that its schema version knew."""
    found = metadata.get(_TABLE, b"").decode(errors="replace")
    version = metadata.get(_VERSION, b"").decode(errors="replace")
    if found != table.name or not version.isdigit() or version == "0":
        raise DamagedFileError(f"{name}: holds no rows of the table {table.name!r} (marked {found!r}); {_REMEDY}")
    if int(version) > SCHEMA_VERSION:
        raise NewerVersionError(
            f"{name}: schema version {version}, this program knows up to {SCHEMA_VERSION}; upgrade dit-grid to read it"
        )
    return [column.name for column in table.columns if column.since <= int(version)]
