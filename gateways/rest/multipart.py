"""One file out of a multipart body, as it comes: never more than a chunk in memory (RFC 7578)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from domain.shared.errors import InvalidInputError

FIELD_LIMIT_BYTES = 4096
"""Other fields may stand before the file; they are skipped and must be short."""
REMEDY = "send one file as multipart/form-data, for example curl -F file=@part.stl"


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadedFile:
    """A file on its way in. ``chunks`` raises ``InvalidInputError`` when the body is cut off."""

    name: str
    chunks: AsyncIterator[bytes]


async def read_file(content_type: str, body: AsyncIterator[bytes]) -> UploadedFile:
    """Read up to the beginning of the file. Raises ``InvalidInputError`` for what is no upload."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise _refused("the body is not multipart/form-data with a boundary")
    form = _Form(options[b"boundary"])
    async for piece in body:
        form.feed(piece)
        if form.file_name is not None:
            return UploadedFile(name=form.file_name, chunks=_chunks(form, body))
    raise _refused("the form holds no file")


async def _chunks(form: "_Form", body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in form.take():
        yield chunk
    async for piece in body:
        form.feed(piece)
        for chunk in form.take():
            yield chunk
    if not form.complete:
        raise _refused("the upload is cut off: its closing boundary never came")


class _Form:
    """What the parser has met so far."""

    def __init__(self, boundary: bytes) -> None:
        self.file_name: str | None = None
        self.complete = False
        self._in_file = False
        self._skipped = 0
        self._waiting: list[bytes] = []
        self._header = b""
        self._value = b""
        self._disposition = b""
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._header_name,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._data,
                    "on_part_end": self._end,
                    "on_end": self._finished,
                },
            )
        except FormParserError as error:
            raise _refused(str(error)) from error

    def feed(self, piece: bytes) -> None:
        """Parse the next bytes."""
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise _refused(f"the multipart body is malformed: {error}") from error

    def take(self) -> list[bytes]:
        """The file's bytes since the last call."""
        taken, self._waiting = self._waiting, []
        return taken

    def _begin(self) -> None:
        self._disposition = self._header = self._value = b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"filename")
        self._in_file = name is not None
        if name is None:
            return
        if self.file_name is not None:
            raise _refused("the form holds more than one file")
        self.file_name = name.decode("utf-8", "replace")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._waiting.append(data[start:end])
            return
        self._skipped += end - start
        if self._skipped > FIELD_LIMIT_BYTES:
            raise _refused("the form's fields are too long")

    def _end(self) -> None:
        self._in_file = False

    def _finished(self) -> None:
        self.complete = True


def _refused(why: str) -> InvalidInputError:
    return InvalidInputError(why, field="file", remedy=REMEDY)
