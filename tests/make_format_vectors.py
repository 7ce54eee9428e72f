#!/usr/bin/env python3
"""Writes the test vectors of the coded file format from docs/format.md alone.

tests/data/format/NAME.tess with NAME.txt, what a reader must find in it, and bad/NAME.tess with
bad/list.txt: the error that reading each must end with and a word of its reason.
"""

import math
import pathlib
import struct
import zlib

OUT = pathlib.Path(__file__).parent / "data" / "format"


def signed(payload):
    return payload + struct.pack("<I", zlib.crc32(payload))


def header(m, version=1):
    texts = [m["model"], *(text for tag in m["tags"] for text in tag)]
    tail = b"".join(text.encode() + b"\0" for text in texts)
    head = struct.pack(
        "<4sII8sIIIIiIIqHH", b"TESS", version, 60 + len(tail) + 4, bytes(m["fingerprint"]),
        m["sample_rate"], m["hop"], m["codebooks"], m["entries"], m["code_min"], m["channels"],
        m["source_rate"], m["n_source"], len(m["tags"]), m["segment_frames"])
    return signed(head + tail)


def pack(m, frames):
    width = max(1, (m["entries"] - 1).bit_length())
    number = position = 0
    for code in (code for frame in frames for code in frame):
        number |= (code - m["code_min"]) << position
        position += width
    return number.to_bytes((position + 7) // 8, "little")


def chunk(m, frames, kind=0, side=(), payload=None):
    payload = pack(m, frames) if payload is None else payload
    return signed(struct.pack(f"<4sIHHI{len(side)}f", b"CHNK", len(frames), kind, len(side),
                              len(payload), *side) + payload)


def trailer(n_source, n_samples, n_frames, offsets, length=None, end=b"SSET"):
    head = struct.pack("<4sqqqQ", b"TEND", n_source, n_samples, n_frames, len(offsets))
    index = b"".join(struct.pack("<Q", offset) for offset in offsets)
    length = len(head) + len(index) + 16 if length is None else length
    return signed(head + index + struct.pack("<Q", length)) + end


def chunks_of(m, codes):
    n = math.ceil(2 * m["sample_rate"] / m["hop"])
    n += -n % (m["segment_frames"] or 1)
    return [codes[i:i + n] for i in range(0, len(codes), n)]


def scales_of(m, n_frames):
    """One for each segment, the last of which is shorter than the others."""
    g = m["segment_frames"]
    return [0.5**i for i in range(n_frames // g + 1)] if g and n_frames else []


def whole(m, codes, total):
    """The file of all codes, whose trailer says `total` samples at the source's rate."""
    parts = [header(m)]
    offsets = []
    chunks, scales = chunks_of(m, codes), scales_of(m, len(codes))
    for i, frames in enumerate(chunks):
        n = len(scales) if i == len(chunks) - 1 else len(frames) // (m["segment_frames"] or len(frames))
        side, scales = (scales[:n], scales[n:]) if scales else ((), scales)
        offsets.append(sum(map(len, parts)))
        parts.append(chunk(m, frames, side=side))
    n_samples = -(-total * m["sample_rate"] // m["source_rate"])
    assert len(codes) >= -(-n_samples // m["hop"])
    parts.append(trailer(total, n_samples, len(codes), offsets))
    return b"".join(parts)


def model(**changes):
    return dict(model="vector", fingerprint=range(0xA0, 0xA8), sample_rate=8, hop=2, codebooks=2,
                entries=10, code_min=0, channels=1, source_rate=8, n_source=-1, tags=[], segment_frames=0) | changes


def codes_of(m, n_frames):
    """Codes that reach both ends of the range."""
    return [[m["code_min"] + (7919 * (t * m["codebooks"] + k) + m["entries"] - 1) % m["entries"]
             for k in range(m["codebooks"])] for t in range(n_frames)]


GOOD = {  # name: model, samples of the source, frames beyond those that cover them
    "empty": (model(), 0, 0),
    "tiny": (model(), 3, 0),
    "boundary": (model(entries=1), 32, 0),  # two full chunks of 8 frames
    "signed": (model(sample_rate=44100, source_rate=44100, hop=256, codebooks=3, entries=255,
                     code_min=-127, channels=2), 1100, 2),
    "wide": (model(entries=65536, codebooks=3, model=""), 5, 0),
    "segments": (model(segment_frames=3), 36, 1),  # 9 + 9 + 1 frames, in segments of 3
    "segments-full": (model(segment_frames=3), 36, 0),  # the last of 9 + 9 is a segment of its own
    "speech": (model(model="tessera-24k-speech", sample_rate=24000, hop=320, codebooks=4,
                     entries=1024, source_rate=44100, n_source=92000,
                     tags=[("title", "Grüße"), ("empty", ""), ("title", "again")]), 92000, 0),
}


def bad_files():
    """name: (bytes, error, word of the reason)"""
    m = model()
    codes = codes_of(m, 10)
    good = whole(m, codes, 20)
    head, first, last = header(m), chunk(m, codes[:8]), chunk(m, codes[8:])
    at = [len(head), len(head) + len(first)]
    end = trailer(20, 20, 10, at)

    def with_first(frames=codes[:8], **changes):
        return head + chunk(m, frames, **changes) + last + end

    def with_header(**changes):
        changed = model(**changes)
        return header(changed) + first + last + end

    def with_trailer(*fields, **changes):
        return head + first + last + trailer(*fields, **changes)

    assert good == head + first + last + end
    yield "no-bytes", b"", "TRUNCATED", "header"
    yield "magic", b"RIFF" + good[4:], "FORMAT", "TESS"
    yield "version", header(m, version=2) + first + last + end, "FORMAT", "version 2"
    yield "header-short", signed(head[:8] + struct.pack("<I", 60) + head[12:56]), "FORMAT", "60 bytes"
    yield "header-long", head[:8] + struct.pack("<I", 65537), "FORMAT", "65537"
    yield "header-checksum", head[:20] + b"\1" + good[21:], "CHECKSUM", "header"
    yield "name-not-utf8", signed(head[:60] + b"\xc0\x80ctor\0") + first + last + end, "FORMAT", "name"
    yield "name-endless", signed(head[:60] + b"vectors") + first + last + end, "FORMAT", "name"
    yield "name-long", with_header(model="n" * 64), "FORMAT", "name"
    yield "tag-key-empty", with_header(tags=[("", "value")]), "FORMAT", "tag 0"
    yield "tag-key-long", with_header(tags=[("k" * 256, "value")]), "FORMAT", "tag 0"
    yield "tag-value-long", with_header(tags=[("a", "b"), ("key", "v" * 4097)]), "FORMAT", "tag 1"
    yield "tags-missing", signed(head[:56] + struct.pack("<I", 1) + head[60:-4]), "FORMAT", "tag 0"
    yield "tags-many", signed(head[:56] + struct.pack("<I", 2**32 - 1) + head[60:-4]), "FORMAT", "tags"
    yield "tags-left", signed(head[:8] + struct.pack("<I", len(head) + 10) + head[12:-4]
                                   + b"key\0value\0"), "FORMAT", "too many"
    for field, values in {"sample_rate": [0, 768001], "hop": [0, 1048577],
                          "codebooks": [0, 1025, 2**32 - 1], "channels": [0, 65],
                          "source_rate": [0, 768001], "n_source": [-2],
                          "entries": [0, 65537], "code_min": [1, -32769]}.items():
        for value in values:
            reason = "codes from" if field in ("entries", "code_min") else str(value)[:-1] or str(value)
            reason = "-1" if value == 2**32 - 1 else reason
            yield f"{field}-{value}", with_header(**{field: value}), "FORMAT", reason
    yield "chunk-too-large", with_header(sample_rate=768000), "FORMAT", "1048576"
    yield "mark", head + b"LIST" + first[4:] + last + end, "FORMAT", "neither"
    yield "chunk-empty", with_first([]), "FORMAT", "chunk 0: 0 frames"
    yield "chunk-long", with_first(codes[:9]), "FORMAT", "chunk 0: 9 frames"
    yield "chunk-after-short", head + last + first + end, "FORMAT", "chunk 1 follows"
    yield "payload-kind", with_first(kind=1), "FORMAT", "kind 1"
    yield "side-values", with_first(side=[1.0]), "FORMAT", "1 side values where 0"
    parts = model(segment_frames=3)

    def with_scales(scales, n=9):
        body = header(parts) + chunk(parts, codes[:1] * n, side=scales)
        return body + trailer(2 * n, 2 * n, n, [len(header(parts))])

    yield "scales-few", with_scales([1.0, 0.5]), "FORMAT", "2 side values where 3"
    yield "scales-many", with_scales([1.0] * 5), "FORMAT", "5 side values where 3"
    yield "scales-many-short", with_scales([1.0] * 4, n=8), "FORMAT", "4 side values where 3"
    yield "scale-of-the-last", with_scales([1.0] * 3), "FORMAT", "no side value"
    yield "scale-nan", with_scales([1.0, math.nan, 1.0, 1.0]), "FORMAT", "not finite"
    extra = header(parts) + chunk(parts, codes[:1] * 9, side=[1.0] * 4)
    yield "chunk-after-last", extra + chunk(parts, codes[:1], side=[1.0]), "FORMAT", "chunk 1 follows"
    yield "payload-bytes", with_first(payload=bytes(9)), "FORMAT", "9 payload bytes"
    yield "payload-huge", head + first[:12] + struct.pack("<I", 2**32 - 1), "FORMAT", "4294967295"
    yield "chunk-checksum", head + first[:20] + b"\xff" + first[21:] + last + end, "CHECKSUM", "chunk 0"
    yield "code", with_first([[10, 0]] + codes[1:8]), "CODE", "chunk 0"
    odd = model(codebooks=1)
    padding = header(odd) + chunk(odd, [[1]], payload=b"\x11")
    yield "padding", padding + trailer(2, 2, 1, [len(head)]), "FORMAT", "padding"
    yield "trailer-checksum", good[:-8] + b"\0\0\0\0SSET", "CHECKSUM", "trailer"
    yield "trailer-length", with_trailer(20, 20, 10, at, length=69), "FORMAT", "length"
    yield "trailer-end", with_trailer(20, 20, 10, at, end=b"TESS"), "FORMAT", "end mark"
    yield "trailer-source", with_trailer(-1, 20, 10, at), "FORMAT", "agree"
    yield "trailer-samples", with_trailer(20, 21, 10, at), "FORMAT", "agree"
    yield "trailer-frames", with_trailer(20, 20, 9, at), "FORMAT", "agree"
    yield "trailer-more-frames", with_trailer(20, 20, 11, at), "FORMAT", "11 frames"
    yield "trailer-chunks", with_trailer(20, 20, 10, at[:1]), "FORMAT", "1 chunks"
    yield "trailer-index", with_trailer(20, 20, 10, [at[0], at[1] + 1]), "FORMAT", "chunk 1 is not at"
    yield "trailer-overflow", with_trailer(2**63 - 1, 2**63 - 1, 2**62, at), "FORMAT", "came before"
    yield "promise", with_header(n_source=19), "FORMAT", "header has 19"
    yield "bytes-follow", good + b"\0", "FORMAT", "follow"


def description(m, codes, total):
    lines = [f"{key} {m[key]}" for key in ("sample_rate", "hop", "codebooks", "entries", "code_min",
                                           "channels", "source_rate", "n_source")]
    lines += [f"total {total}", f"samples {-(-total * m['sample_rate'] // m['source_rate'])}",
              f"frames {len(codes)}", f"segment_frames {m['segment_frames']}",
              f"tags {len(m['tags'])}", f"model={m['model']}"]
    lines += [f"{key}={value}" for key, value in m["tags"]]
    lines += [" ".join(map(str, frame)) for frame in codes] + list(map(str, scales_of(m, len(codes))))
    return "\n".join(lines) + "\n"


def main():
    (OUT / "bad").mkdir(parents=True, exist_ok=True)
    for name, (m, total, more) in GOOD.items():
        n_samples = -(-total * m["sample_rate"] // m["source_rate"])
        codes = codes_of(m, -(-n_samples // m["hop"]) + more)
        (OUT / f"{name}.tess").write_bytes(whole(m, codes, total))
        (OUT / f"{name}.txt").write_text(description(m, codes, total), encoding="utf-8")
    with open(OUT / "bad" / "list.txt", "w", encoding="utf-8") as names:
        for name, data, error, word in bad_files():
            (OUT / "bad" / f"{name}.tess").write_bytes(data)
            names.write(f"{name} {error} {word}\n")


if __name__ == "__main__":
    main()
