"""PDF files made by hand: pages of lines in Helvetica, an outline, and pages that are only a picture."""

from collections.abc import Sequence
from dataclasses import dataclass

TOP, LEFT, LEADING = 800, 50, 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One printed line. ``down`` is the space above it in lines of its own size."""

    text: str
    size: int = 11
    down: float = 1.0
    bold: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A scanned page: grey pixels, a byte each."""

    width: int
    height: int
    pixels: bytes


def pdf(
    pages: Sequence[Sequence[Line] | Picture | None],
    *,
    title: str = "",
    lang: str = "",
    outline: Sequence[tuple[str, int]] = (),
) -> bytes:
    """A PDF of these pages; ``None`` is a scanned one, a picture without text. ``outline``: (title, page from 0)."""
    objects: dict[int, bytes] = {}
    fonts = b"/Font << /F1 3 0 R /F2 4 0 R >> /XObject << /Im 5 0 R >>"
    objects[3] = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
    objects[4] = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica-Bold /Encoding /WinAnsiEncoding >>"
    objects[5] = _stream(
        b"/Type /XObject /Subtype /Image /Width 2 /Height 2 /ColorSpace /DeviceGray /BitsPerComponent 8",
        b"\0\xff\xff\0",
    )
    first = 10
    kids = []
    for number, page in enumerate(pages):
        at = first + 2 * number
        if isinstance(page, Picture):
            scanned = first + 2 * len(pages) + len(outline) + number
            size = b"/Type /XObject /Subtype /Image /Width %d /Height %d" % (page.width, page.height)
            objects[scanned] = _stream(size + b" /ColorSpace /DeviceGray /BitsPerComponent 8", page.pixels)
            fonts = fonts.replace(b"/Im 5 0 R", b"/Im 5 0 R /Im%d %d 0 R" % (number, scanned))
            content = b"q 595 0 0 842 0 0 cm /Im%d Do Q" % number
        else:
            content = b"q 500 0 0 700 50 50 cm /Im Do Q" if page is None else _content(page)
        kids.append(at)
        objects[at] = (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << %s >> /Contents %d 0 R >>"
            % (fonts, at + 1)
        )
        objects[at + 1] = _stream(b"", content)
    objects[2] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (len(kids), b" ".join(b"%d 0 R" % kid for kid in kids))
    root = b"/Type /Catalog /Pages 2 0 R"
    if lang:
        root += b" /Lang (%s)" % lang.encode()
    if outline:
        root += b" /Outlines 6 0 R"
        start = first + 2 * len(pages)
        ends = (start, start + len(outline) - 1)
        objects[6] = b"<< /Type /Outlines /First %d 0 R /Last %d 0 R /Count %d >>" % (*ends, len(outline))
        for number, (words, page_number) in enumerate(outline):
            at = start + number
            links = b"" if at == ends[0] else b"/Prev %d 0 R " % (at - 1)
            links += b"" if at == ends[1] else b"/Next %d 0 R " % (at + 1)
            objects[at] = b"<< /Title (%s) /Parent 6 0 R %s/Dest [%d 0 R /XYZ 0 800 0] >>" % (
                _escaped(words),
                links,
                kids[page_number],
            )
    objects[1] = b"<< %s >>" % root
    objects[7] = b"<< /Title (%s) >>" % _escaped(title)
    return _file(objects)


def _content(lines: Sequence[Line]) -> bytes:
    y = float(TOP)
    drawn = []
    for line in lines:
        y -= line.size * LEADING * line.down
        font = b"F2" if line.bold else b"F1"
        drawn.append(b"BT /%s %d Tf %d %.1f Td (%s) Tj ET" % (font, line.size, LEFT, y, _escaped(line.text)))
    return b"\n".join(drawn)


def _escaped(text: str) -> bytes:
    return text.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def _stream(entries: bytes, data: bytes) -> bytes:
    return b"<< %s /Length %d >>\nstream\n%s\nendstream" % (entries, len(data), data)


def _file(objects: dict[int, bytes]) -> bytes:
    out = bytearray(b"%PDF-1.7\n")
    table = [b"0000000000 65535 f \n"]
    for number in range(1, max(objects) + 1):
        if number not in objects:
            table.append(b"0000000000 65535 f \n")
            continue
        table.append(b"%010d 00000 n \n" % len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, objects[number])
    start = len(out)
    out += b"xref\n0 %d\n%s" % (len(table), b"".join(table))
    out += b"trailer\n<< /Size %d /Root 1 0 R /Info 7 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(table), start)
    return bytes(out)
