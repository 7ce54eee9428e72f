"""Recordings of any kind libsndfile reads -> one int16 file a split -> crops.

FOLDER/train.s16 and valid.s16 hold the samples end to end (mono, little-endian, the model's rate), train.tsv and
valid.tsv a line for each recording: samples, kind, path. The files are mapped, so workers share them in memory.
"""

import csv
import json
import os
import pathlib
import sys

import numpy as np

from . import Refused, augment

SPLITS = ("train", "valid")
VALID = 50  # without a manifest every 50th recording is kept for validation


def _walk(folder):
    import soundfile

    kinds = {f".{name.lower()}" for name in soundfile.available_formats()} - {".raw"} | {".aif", ".oga", ".opus"}
    paths = sorted(p for p in pathlib.Path(folder).rglob("*") if p.suffix.lower() in kinds)
    return [(str(path.relative_to(folder)), SPLITS[i % VALID == VALID - 1], "speech") for i, path in enumerate(paths)]


def _listed(manifest):
    """(path, split, kind) of a .jsonl or .tsv manifest: `path` is needed; split is else train, kind speech."""
    with open(manifest, newline="") as file:
        try:
            rows = [json.loads(line) for line in file if line.strip()] if manifest.endswith(".jsonl") \
                else list(csv.DictReader(file, delimiter="\t"))
            rows = [(row["path"], row.get("split", "train"), row.get("kind", "speech")) for row in rows]
        except (ValueError, KeyError, TypeError, AttributeError, csv.Error):
            raise Refused(f"{manifest}: it is not JSON lines or tab-separated columns with a path") from None
    return [row for row in rows if row[1] in SPLITS]


def _decode(path, rate):
    import soundfile
    import soxr

    pcm, its_rate = soundfile.read(path, dtype="float32", always_2d=True)
    pcm = soxr.resample(pcm.mean(1), its_rate, rate) if len(pcm) else pcm[:, 0]
    return np.rint(np.clip(pcm, -1, 1) * 32767).astype("<i2")


def prepare(recordings, folder, rate, manifest=None):
    """Decodes a folder of recordings into `folder`, once. Unreadable ones are named and left out."""
    import soundfile

    if not os.path.isdir(recordings):
        raise Refused(f"{recordings} is not a folder")
    rows = _listed(manifest) if manifest else _walk(recordings)
    os.makedirs(folder, exist_ok=True)
    for split in SPLITS:
        seconds = 0.0
        part, listing = f"{folder}/{split}.s16.part", f"{folder}/{split}.tsv.part"
        with open(part, "wb") as samples, open(listing, "w", newline="") as lines:
            table = csv.writer(lines, delimiter="\t")
            table.writerow(("samples", "kind", "path"))
            for path, its, kind in rows:
                if its != split:
                    continue
                try:
                    pcm = _decode(os.path.join(recordings, path), rate)
                except (soundfile.LibsndfileError, OSError) as error:
                    print(f"left out: {error}", file=sys.stderr)
                    continue
                if len(pcm):
                    samples.write(pcm.data)
                    table.writerow((len(pcm), kind, path))
                    seconds += len(pcm) / rate
        if split == "train" and not seconds:
            os.unlink(part)
            os.unlink(listing)
            raise Refused(f"{recordings}: no recording in it that libsndfile reads")
        os.replace(part, f"{folder}/{split}.s16")
        os.replace(listing, f"{folder}/{split}.tsv")  # last: it says that the other is whole
        print(f"{split}: {seconds / 3600:.2f} hours")


class Recordings:
    """A split: `pcm` end to end, where each recording starts and ends, whether it is speech."""

    def __init__(self, folder, split):
        try:
            with open(f"{folder}/{split}.tsv", newline="") as lines:
                rows = list(csv.DictReader(lines, delimiter="\t"))
            lengths = np.array([int(row["samples"]) for row in rows])
            self.kinds = np.array([row["kind"] for row in rows])
            self.pcm = np.memmap(f"{folder}/{split}.s16", "<i2", "r") if rows else np.zeros(0, "<i2")
        except OSError as error:
            raise Refused(f"{folder} is not prepared: {error.strerror}: {error.filename}") from None
        self.end = np.cumsum(lengths)
        self.start = self.end - lengths
        if lengths.sum() != len(self.pcm):
            raise Refused(f"{folder}/{split}.s16 is not what {split}.tsv lists: prepare it again")

    def __len__(self):
        return len(self.kinds)

    def read(self, i, at=0, n=None):
        """n samples of recording i from sample `at` on, or as many as there are; float32."""
        start = self.start[i] + at
        end = self.end[i] if n is None else min(start + n, self.end[i])
        return self.pcm[start:end].astype(np.float32) / 32768


class Clips:
    """Random crops, each recording as often as it is long, all that is not speech together `other`."""

    def __init__(self, recordings, recipe):
        self.recordings, self.c, self.augment = recordings, recipe.data, recipe.augment
        self.rate = recipe.model.sample_rate
        self.n, self.n_clips = int(recipe.batch.seconds * self.rate), recipe.batch.clips
        length = (recordings.end - recordings.start).astype(float)
        speech = length * (recordings.kinds == "speech")
        other = length - speech
        share = self.c.other if speech.any() and other.any() else float(other.any())
        self.chance = sum(w * part / max(part.sum(), 1) for w, part in ((1 - share, speech), (share, other)))

    def _crop(self, rng, i):
        spare = int(self.recordings.end[i] - self.recordings.start[i]) - self.n
        for _ in range(self.c.tries):
            x = self.recordings.read(i, rng.integers(max(spare, 0) + 1), self.n)
            if x.std() > self.c.quiet:
                break
        return np.pad(x, (0, self.n - len(x)))

    def batch(self, rng):
        """float32 [B][N]"""
        of = rng.choice(len(self.chance), self.n_clips, p=self.chance)
        clips = [augment.clip(self._crop(rng, i), rng, self.augment, self.rate) for i in of]
        return augment.mix(np.stack(clips).astype(np.float32), rng, self.augment)
