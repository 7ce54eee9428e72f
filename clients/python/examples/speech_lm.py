#!/usr/bin/env python3
"""A recording becomes tokens, a small language model learns them, and what it says becomes sound.

    python speech_lm.py speech.flac babble.wav [--steps 300] [--seconds 5]

The model is a transformer that reads columns of K delayed codes (tessera.delay) and predicts the next
column. A minute of speech teaches it the voice's colour, hours of it would teach more. Needs torch and
soundfile.
"""

import argparse

import soundfile
import torch
from torch import nn

import tessera

CONTEXT = 256  # columns
WIDTH = 128


class SpeechModel(nn.Module):
    """Columns of K tokens [B, T, K] to the logits of each one's successor [B, T, K, vocabulary]."""

    def __init__(self, codebooks, vocabulary):
        super().__init__()
        self.shape = codebooks, vocabulary
        self.tokens = nn.ModuleList(nn.Embedding(vocabulary, WIDTH) for _ in range(codebooks))
        self.places = nn.Embedding(CONTEXT, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, dropout=0.1, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, codebooks * vocabulary)

    def forward(self, x):
        n = x.shape[1]
        h = sum(of(x[..., k]) for k, of in enumerate(self.tokens)) + self.places.weight[:n]
        mask = nn.Transformer.generate_square_subsequent_mask(n)
        return self.head(self.layers(h, mask=mask, is_causal=True)).unflatten(-1, self.shape)


def train(model, columns, steps):
    """columns [T, K]. Returns the loss of each step, in nats a token."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(steps):
        starts = torch.randint(len(columns) - CONTEXT, (8,)).tolist()
        batch = torch.stack([columns[at:at + CONTEXT + 1] for at in starts])
        loss = nn.functional.cross_entropy(model(batch[:, :-1]).flatten(0, 2), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def generate(model, columns, n):
    """n more columns. What stands for nothing, the last entry of the vocabulary, is not said."""
    model.eval()
    said = columns
    for _ in range(n):
        logits = model(said[None, 1 - CONTEXT:])[0, -1, :, :-1]
        said = torch.cat([said, torch.multinomial(logits.softmax(-1), 1).T])
    return said[len(columns):]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("sound")
    parser.add_argument("out")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    torch.manual_seed(1)

    codec = tessera.Codec()
    sound, rate = soundfile.read(options.sound, dtype="float32", always_2d=True)
    codes = codec.encode(sound.mean(axis=1), rate, resample=True)
    columns = torch.from_numpy(tessera.delay(codes).T)  # [T, K]; codebook_size stands for nothing
    model = SpeechModel(codes.n_codebooks, codes.codebook_size + 1)
    losses = train(model, columns, options.steps)
    print(f"{len(columns)} columns; {losses[0]:.2f} nats a token before, {losses[-1]:.2f} after")

    n = int(options.seconds * codes.frame_rate) + codes.n_codebooks - 1
    said = generate(model, columns[codes.n_codebooks - 1:CONTEXT], n)
    soundfile.write(options.out, codec.decode(tessera.undelay(said.T)), codec.sample_rate)


if __name__ == "__main__":
    main()
