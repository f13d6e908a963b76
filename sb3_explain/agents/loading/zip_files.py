"""Open zips of strangers: nothing is extracted, and no more is read than was looked at before."""

from __future__ import annotations

import zipfile
from typing import BinaryIO, cast

from sb3_explain.common.errors import ExplainError
from sb3_explain.common.untrusted import one_line, quote

#: bytes that are read at once, and so the size limit of a zip's directory
CHUNK = 2**20


class _SmallReads:
    """A file of which little is read at once: zipfile reads a directory of any size in one go.

    :param file: file that can be read at any position
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        content = self.file.read(size if 0 <= size <= CHUNK else CHUNK + 1)
        if len(content) > CHUNK:
            raise zipfile.BadZipFile("its directory is too large")
        return content


def open_zip(file: BinaryIO, what: str) -> zipfile.ZipFile:
    """A zip, of which only the directory has been read.

    :param file: file that can be read at any position
    :param what: what the file is, for error messages
    :raises ExplainError: if it is no zip, or has more members than a saved model can have
    """
    try:
        return zipfile.ZipFile(cast(BinaryIO, _SmallReads(file)))
    except OSError:
        raise
    # BadZipFile, and UnicodeDecodeError, NotImplementedError and more from a spoilt directory
    except Exception as error:
        raise ExplainError(
            f"{what} is not a whole zip archive ({one_line(error)}): fetch or save it again"
        ) from error


def read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, what: str) -> bytearray:
    """The bytes of a member, as many as it declares.

    :param archive: archive that was opened by :func:`open_zip`
    :param info: the member; whoever calls has compared its size with a limit
    :param what: what the archive is, for error messages
    :raises ExplainError: if the member is damaged, encrypted, or of another size than it declares
    """
    content = bytearray()
    try:
        with archive.open(info) as file:
            while len(content) <= info.file_size and (part := file.read(CHUNK)):
                content += part
    # zlib.error, EOFError, NotImplementedError, RuntimeError (encrypted): as damaged as can be
    except Exception as error:
        raise ExplainError(
            f"{quote(info.filename)} in {what} is damaged ({one_line(error)}): fetch or save it "
            "again"
        ) from error
    if len(content) != info.file_size:
        raise ExplainError(
            f"{quote(info.filename)} in {what} is damaged (it has another size than it says): "
            "fetch or save it again"
        )
    return content
