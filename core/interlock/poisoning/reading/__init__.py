"""Files of a dataset to blocks of rows: tables, arrays and pictures, in bounded memory. Knows nothing of detectors.

Everything that is read is untrusted content. What cannot be read is a `SubjectError` that names the file; one picture
that cannot be decoded is one row that is `Unread`. pyarrow, numpy and Pillow are imported when something is read.
"""

from interlock.poisoning.reading.census import Census, shaped
from interlock.poisoning.reading.sorting import Part, Sorted, sort_files

__all__ = ["Census", "Part", "Sorted", "shaped", "sort_files"]
