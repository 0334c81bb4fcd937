"""Files such as a telephone system sends: recordings and faxes, made here, small and valid."""
import io
import math
import struct
import wave

RATE = 8000     # samples a second, as telephones have it


def recording(seconds, pitch):
    """A WAV file: two tones that come and go, 16 bits, mono."""
    samples = bytearray()
    for n in range(seconds * RATE):
        loud = 9000 * math.sin(math.pi * (n % RATE) / RATE)
        samples += struct.pack("<h", int(loud * (math.sin(2 * math.pi * pitch * n / RATE)
                                                 + math.sin(2 * math.pi * 1.5 * pitch * n / RATE))))
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(bytes(samples))
    return file.getvalue()


def fax(lines, pages):
    """A PDF of so many pages of text in Helvetica."""
    kids = " ".join(f"{4 + 2 * page} 0 R" for page in range(pages))
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {pages} >>",
               "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    for page in range(pages):
        shown = "".join(f"({line}) Tj 0 -20 Td " for line in [*lines, f"Page {page + 1} of {pages}"])
        text = f"BT /F1 14 Tf 72 760 Td {shown}ET"
        objects.append("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] "
                       f"/Resources << /Font << /F1 3 0 R >> >> /Contents {5 + 2 * page} 0 R >>")
        objects.append(f"<< /Length {len(text)} >>\nstream\n{text}\nendstream")
    out, places = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"), []
    for number, one in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{one}\nendobj\n".encode()
    table = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n".encode()
    return bytes(out)
