/* Latents in, the index of the nearest entry of each out. Lanes run over entries, never over
 * channels, so a score is the same chain of fused products at every vector width; each lane keeps
 * the best of the entries it saw, and the lowest index wins among equals. */
#include "rvq/nearest.h"

#include "src/simd.h"

enum {
    PARTS = TESS_PANEL / TESS_LANES, /* vectors that hold a panel's scores */
    /* scores that grow side by side, frames times panels: as many as hide a product's latency */
    CHAINS = TESS_LANES < 16 ? 4 : 8,
    FRAMES = CHAINS < 6 ? 4 : 6, /* latents that share one pass over the panels, at most */
};

/* The best that a frame's lanes have seen, and in which panel. */
struct best {
    vf score[PARTS];
    vi panel[PARTS];
};

/* The best of a panel's 16 lanes: the smallest score, then the lowest index. */
static uint16_t winner(const struct best *best)
{
    float score[TESS_PANEL];
    int32_t index[TESS_PANEL];
    for (int i = 0; i < PARTS; i++) {
        vf_store(score + i * TESS_LANES, best->score[i]);
        vi_store(index + i * TESS_LANES, best->panel[i]);
    }
    int lowest = 0;
    for (int lane = 0; lane < TESS_PANEL; lane++) {
        index[lane] = index[lane] * TESS_PANEL + lane;
        int nearer = score[lane] < score[lowest] ||
                     (!(score[lowest] < score[lane]) && index[lane] < index[lowest]);
        if (nearer) lowest = lane;
    }
    return (uint16_t)index[lowest];
}

/* Panels p .. p + n_panels for n frames. Both are constants at each call, so that the compiler keeps
 * the scores in registers. */
static inline __attribute__((always_inline)) void look(const struct tess_codebook *book,
                                                       const float *z,
                                                       int stride,
                                                       int n,
                                                       int p,
                                                       int n_panels,
                                                       struct best *best)
{
    const size_t width = (size_t)book->dim * TESS_PANEL;
    const float *e = book->panels + (size_t)p * width, *half_sq = book->half_sq + p * TESS_PANEL;
    vf score[CHAINS][PARTS];
    for (int c = 0; c < n * n_panels; c++)
        for (int i = 0; i < PARTS; i++)
            score[c][i] = vf_load(half_sq + c / n * TESS_PANEL + i * TESS_LANES);
    for (int d = 0; d < book->dim; d++, e += TESS_PANEL) {
        /* Large books come from the third-level cache or beyond. Few panels at a time are too few for
         * the CPU to ask for enough of them by itself; the last ask for what follows, in vain. */
        for (int i = 0; i < n_panels && n >= 4; i++)
            __builtin_prefetch(e + (size_t)(n_panels + i) * width);
        for (int c = 0; c < n * n_panels; c++)
            for (int i = 0; i < PARTS; i++)
                score[c][i] =
                    vf_fma(-vf_set(z[c % n * stride + d]),
                           vf_load(e + (size_t)(c / n) * width + i * TESS_LANES), score[c][i]);
    }
    for (int c = 0; c < n * n_panels; c++) /* a frame's panels from the lowest up */
        for (int i = 0; i < PARTS; i++) {
            struct best *b = &best[c % n];
            vi nearer = vf_less(score[c][i], b->score[i]);
            b->score[i] = vf_select(nearer, score[c][i], b->score[i]);
            b->panel[i] = vi_select(nearer, vi_set(p + c / n), b->panel[i]);
        }
}

static inline __attribute__((always_inline)) void search(const struct tess_codebook *book,
                                                         const float *z,
                                                         int stride,
                                                         int n,
                                                         uint16_t *codes,
                                                         int code_stride)
{
    const int n_panels = (book->n_entries + TESS_PANEL - 1) / TESS_PANEL, step = CHAINS / n;
    struct best best[FRAMES];
    for (int f = 0; f < n; f++)
        for (int i = 0; i < PARTS; i++) {
            best[f].score[i] = vf_set(INFINITY);
            best[f].panel[i] = vi_set(0);
        }
    int p = 0;
    for (; p + step <= n_panels; p += step)
        look(book, z, stride, n, p, step, best);
    for (; p < n_panels; p++)
        look(book, z, stride, n, p, 1, best);
    for (int f = 0; f < n; f++)
        codes[f * code_stride] = winner(&best[f]);
}

void TESS_KERNEL(tess_nearest)(const struct tess_codebook *book,
                               const float *z,
                               int stride,
                               int n,
                               uint16_t *codes,
                               int code_stride)
{
    for (int some; n > 0; n -= some) {
        if (FRAMES > 4 && n == FRAMES) /* 80 ms at 75 frames a second: one pass */
            search(book, z, stride, some = FRAMES, codes, code_stride);
        else if (n >= 4)
            search(book, z, stride, some = 4, codes, code_stride);
        else if (n >= 2)
            search(book, z, stride, some = 2, codes, code_stride);
        else
            search(book, z, stride, some = 1, codes, code_stride);
        z += (ptrdiff_t)some * stride;
        codes += (ptrdiff_t)some * code_stride;
    }
}
