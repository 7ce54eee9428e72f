"""Latents -> the nearest entries -> latents. Groups of residual layers (GRVQ, HiFi-Codec, arXiv 2305.02765)
over moving-average codebooks (VQ-VAE, arXiv 1711.00937, appendix A.1) whose dead entries restart at a latent
of the batch (Jukebox, arXiv 2005.00341; SoundStream, arXiv 2107.03312, section III-C)."""

import torch
import torch.nn as nn
import torch.nn.functional as F


def nearest(r, entries):
    """The index of the entry nearest to each row of r [n][d]; ties take the lowest."""
    return ((entries**2).sum(1) - 2 * r @ entries.T).argmin(1)


class Codebook(nn.Module):
    def __init__(self, n_entries, width):
        super().__init__()
        self.register_buffer("entries", torch.randn(n_entries, width) * 0.01)
        self.register_buffer("count", torch.ones(n_entries))
        self.register_buffer("total", self.entries.clone())

    @torch.no_grad()
    def settle(self, entries, count):
        """The entries are these, as if each had been chosen `count` times."""
        self.entries.copy_(entries)
        self.count.fill_(count)
        self.total.copy_(entries * count)

    def sums(self, r, code):
        """Of each entry how often it was chosen and the sum of what it was chosen for: [V][1 + d]"""
        ones = torch.ones_like(r[:, :1])
        zeros = r.new_zeros(len(self.entries), 1 + r.shape[1])
        return zeros.index_add_(0, code, torch.cat([ones, r], 1))

    @torch.no_grad()
    def update(self, r, code, c, team, draw):
        """One step of the moving averages, the same on every worker of the team."""
        sums = team.sum(self.sums(r, code))
        self.count.lerp_(sums[:, 0], 1 - c.decay)
        self.total.lerp_(sums[:, 1:], 1 - c.decay)
        self.entries.copy_(self.total / self.count.clamp(min=1e-5)[:, None])
        even = self.count.mean()
        dead = self.count < c.dead * even
        if dead.any():
            fresh = team.first(r[draw.indices(len(r), int(dead.sum()))].contiguous())
            self.entries[dead] = fresh
            self.count[dead] = c.revived * even
            self.total[dead] = fresh * c.revived * even

    @torch.no_grad()
    def seed(self, r, rounds, team, draw):
        """Entries from latents r [n][d]: a few rounds of k-means. Returns what they leave over."""
        n_entries = len(self.entries)
        entries = r[draw.indices(len(r), n_entries)].clone()
        for _ in range(rounds):
            sums = self.sums(r, nearest(r, entries))
            count = sums[:, :1]
            entries = torch.where(count > 0, sums[:, 1:] / count.clamp(min=1), entries)
        entries = team.first(entries)
        self.settle(entries, len(r) / n_entries)
        return r - entries[nearest(r, entries)]

    def in_use(self):
        """exp of the entropy of the entries' use: how many there would be if all were used evenly."""
        p = self.count / self.count.sum()
        return float(torch.exp(-(p * (p + 1e-9).log()).sum()))


class Quantizer(nn.Module):
    """`quantizer.<group>.<layer>` are its codebooks."""

    def __init__(self, model, numbers):
        super().__init__()
        self.numbers, self.width = numbers, model.group_width
        for g in range(model.groups):
            self.add_module(str(g), nn.ModuleList(
                Codebook(model.entries, model.group_width) for _ in range(model.layers)))

    def groups(self, z):
        """Each group's codebooks with its slice of the latent, [B T][width]."""
        for books, part in zip(self.children(), z.split(self.width, -1)):
            yield books, part.reshape(-1, self.width)

    def forward(self, z, half=None, update=None):
        """z [B][T][D] -> the latent decoded from, commitment, codes [B][T][K] layer-major.

        half [B]: these clips keep the first layer alone. update(book, residual, code) learns. The result
        carries z's gradient (straight through); commitment pulls z towards its entries.
        """
        n_clips, n_frames, _ = z.shape
        sums, codes, commitment = [], [], 0.0
        for books, part in self.groups(z):
            r, total = part, torch.zeros_like(part)
            for layer, book in enumerate(books):
                code = nearest(r.detach(), book.entries)
                entry = book.entries[code]
                commitment = commitment + F.mse_loss(r, entry)
                if update:
                    update(book, r.detach(), code)
                kept = entry if layer == 0 or half is None else \
                    entry * (~half).repeat_interleave(n_frames)[:, None]
                total, r = total + kept, r - entry
                codes.append((layer, code.view(n_clips, n_frames)))
            sums.append(part + (total - part).detach())
        codes = [code for _, code in sorted(codes, key=lambda pair: pair[0])]  # stable: groups stay in order
        return torch.cat(sums, -1).view_as(z), commitment, torch.stack(codes, -1)

    def seed(self, z, team, draw):
        for books, r in self.groups(z):
            for book in books:
                r = book.seed(r, self.numbers.seed_rounds, team, draw)
