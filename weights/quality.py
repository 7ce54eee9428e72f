"""python3 -m weights.quality CLIPS, from the project's root: how near to the recordings a codec's sound is.

Each row is the mean over CLIPS, a folder of .wav or .flac recordings: of the model, coded and decoded by the command; or of folders
of files with the same names that any other codec has decoded. All is compared as mono at 16 kHz and must be aligned.

    PESQ      ITU-T P.862.2, wide band, MOS-LQO 1 to 4.64; package pesq
    STOI      0 to 1, and its extended form (Taal 2011, Jensen 2016); package pystoi
    ViSQOL    version 3, speech, MOS-LQO 1 to 5; package visqol-python, whose extra `lattice` maps as the original does
    speaker   cosine of two embeddings, -1 to 1; package resemblyzer
    words     wrong, missing and added words of a hundred, pocketsphinx against what it understood of the recording
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np

RATE = 16000
HEADS = ("PESQ-WB", "STOI", "ESTOI", "ViSQOL", "speaker", "word errors")


class Refused(Exception):
    """What the world got wrong, in one line."""


def read(path):
    """[N] float32 at RATE."""
    import soundfile
    import soxr

    pcm, rate = soundfile.read(path, dtype="float32", always_2d=True)
    pcm = pcm.mean(1)
    return pcm if rate == RATE else soxr.resample(pcm, rate, RATE, quality="VHQ")


def clips(folder):
    """{name: path}"""
    found = {p.stem: p for p in sorted(pathlib.Path(folder).iterdir()) if p.suffix.lower() in (".wav", ".flac")}
    if not found:
        raise Refused(f"{folder}: no .wav or .flac file")
    return found


def distance(wanted, heard):
    """Words to change, leave out and put in."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(wanted, 1):
        corner, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (word != other))
    return row[-1]


class Judge:
    """Two recordings in, what each measure says out. What a package loads, it loads once."""

    def __init__(self):
        warnings.filterwarnings("ignore")
        import pocketsphinx
        from resemblyzer import VoiceEncoder
        from visqol import VisqolApi

        self.listener = pocketsphinx.Decoder(samprate=RATE, loglevel="FATAL")
        self.voices = VoiceEncoder("cpu", verbose=False)
        self.visqol = VisqolApi()
        self.visqol.create(mode="speech")

    def words(self, pcm):
        self.listener.reinit_feat()  # or a clip's words would depend on the clips before
        self.listener.start_utt()
        self.listener.process_raw((pcm.clip(-1, 0.9999) * 32768).astype("<i2").tobytes(), full_utt=True)
        self.listener.end_utt()
        hypothesis = self.listener.hyp()
        return hypothesis.hypstr.split() if hypothesis else []

    def speaker(self, pcm):
        from resemblyzer import preprocess_wav

        return self.voices.embed_utterance(preprocess_wav(pcm.copy(), source_sr=RATE))

    def hear(self, pcm):
        """What compare() wants of a recording, once for all codecs."""
        return pcm, self.words(pcm), self.speaker(pcm)

    def compare(self, original, b):
        """What was heard and the codec's sound: HEADS' numbers but the last, (wrong words, words)."""
        from pesq import pesq
        from pystoi import stoi

        a, wanted, speaker = original
        a, b = a[:len(b)], b[:len(a)]
        visqol = self.visqol.measure_from_arrays(a.astype(np.float64), b.astype(np.float64), RATE).moslqo
        numbers = (pesq(RATE, a, b, "wb"), stoi(a, b, RATE), stoi(a, b, RATE, extended=True), visqol,
                   speaker @ self.speaker(b))
        return [float(n) for n in numbers], (distance(wanted, self.words(b)), len(wanted))


def code(a, codebooks, paths, into):
    """Every clip through the command and back."""
    def tessera(*words):
        done = subprocess.run([a.command, *words, "-q"], stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise Refused(done.stderr.strip())

    model = ("-m", a.model) if a.model else ()
    for name, path in paths.items():
        tokens, sound = into / f"{name}.tess", into / f"{name}.wav"
        tessera("encode", *model, "--codebooks", str(codebooks), path, tokens)
        tessera("decode", *model, "--packet-loss", str(a.packet_loss), tokens, sound)


def row(judge, originals, decoded):
    numbers, words = [], []
    for name, original in originals.items():
        if name not in decoded:
            raise Refused(f"{name}: nothing decoded has this name")
        these, edits = judge.compare(original, read(decoded[name]))
        numbers.append(these)
        words.append(edits)
    wrong, all_words = np.sum(words, 0)
    return dict(zip(HEADS, [*np.mean(numbers, 0), 100 * wrong / max(all_words, 1)]))


def rows(a):
    """(name, {head: number}) of each."""
    paths = clips(a.clips)
    judge = Judge()
    originals = {name: judge.hear(read(path)) for name, path in paths.items()}
    for n in [] if a.decoded else a.codebooks or (4, 2):
        with tempfile.TemporaryDirectory() as folder:
            code(a, n, paths, pathlib.Path(folder))
            yield f"{n} codebooks", row(judge, originals, clips(folder))
    for folder in a.decoded:
        yield folder, row(judge, originals, clips(folder))


def main(words=None):
    p = argparse.ArgumentParser(prog="python3 -m weights.quality", description=__doc__.partition("\n")[0])
    p.add_argument("clips", help="a folder of recordings")
    p.add_argument("decoded", nargs="*", help="folders that another codec decoded them to; none: the model does")
    p.add_argument("--command", default="build/bin/tessera", help="[%(default)s]")
    p.add_argument("-m", "--model", help="[the command's own]")
    p.add_argument("--codebooks", type=int, action="append", metavar="K", help="codes a frame, again for more [4, 2]")
    p.add_argument("--packet-loss", default=0, metavar="PERCENT", help="frames that get lost [0]")
    p.add_argument("--json", action="store_true", help="one object a row instead of a table")
    a = p.parse_args(words)
    try:
        if not a.json:
            print("|", *(f"| {head}" for head in HEADS), "|\n" + "|---" * (len(HEADS) + 1) + "|")
        for name, n in rows(a):
            if a.json:
                print(json.dumps({"name": name, **n}))
            else:
                print(f"| {name} | {n['PESQ-WB']:.3f} | {n['STOI']:.4f} | {n['ESTOI']:.4f} | {n['ViSQOL']:.3f} | "
                      f"{n['speaker']:.4f} | {n['word errors']:.1f} % |", flush=True)
    except (Refused, OSError) as error:
        print(f"weights.quality: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"weights.quality: {error.name} is missing: pip install -r weights/requirements.txt", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
