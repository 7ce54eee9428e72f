/* Latents in, the index of the nearest entry of each out. Lanes run over entries, never over
 * channels, so a score is the same chain of fused products at every vector width; each lane keeps
 * the best of the entries it saw, and the lowest index wins among equals. */
#include "rvq/nearest.h"

#include "src/simd.h"

enum {
    PARTS = TESS_PANEL / TESS_LANES, /* vectors that hold a panel's scores */
    FRAMES = 4,                      /* latents that share one pass over the panels */
};

/* The best of a panel's 16 lanes: the smallest score, then the lowest index. */
static uint16_t winner(const vf *best, const vi *panel)
{
    float score[TESS_PANEL];
    int32_t index[TESS_PANEL];
    for (int i = 0; i < PARTS; i++) {
        vf_store(score + i * TESS_LANES, best[i]);
        vi_store(index + i * TESS_LANES, panel[i]);
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

/* n is a constant at each call, so that the compiler keeps the scores in registers. */
static inline __attribute__((always_inline)) void search(const struct tess_codebook *book,
                                                         const float *z,
                                                         int stride,
                                                         int n,
                                                         uint16_t *codes,
                                                         int code_stride)
{
    vf best[FRAMES][PARTS];
    vi best_panel[FRAMES][PARTS];
    for (int f = 0; f < n; f++)
        for (int i = 0; i < PARTS; i++) {
            best[f][i] = vf_set(INFINITY);
            best_panel[f][i] = vi_set(0);
        }
    const float *e = book->panels, *half_sq = book->half_sq;
    for (int p = 0; p * TESS_PANEL < book->n_entries; p++, half_sq += TESS_PANEL) {
        vf score[FRAMES][PARTS];
        for (int f = 0; f < n; f++)
            for (int i = 0; i < PARTS; i++)
                score[f][i] = vf_load(half_sq + i * TESS_LANES);
        for (int d = 0; d < book->dim; d++, e += TESS_PANEL)
            for (int f = 0; f < n; f++)
                for (int i = 0; i < PARTS; i++)
                    score[f][i] = vf_fma(-vf_set(z[f * stride + d]), vf_load(e + i * TESS_LANES),
                                         score[f][i]);
        for (int f = 0; f < n; f++)
            for (int i = 0; i < PARTS; i++) {
                vi nearer = vf_less(score[f][i], best[f][i]);
                best[f][i] = vf_select(nearer, score[f][i], best[f][i]);
                best_panel[f][i] = vi_select(nearer, vi_set(p), best_panel[f][i]);
            }
    }
    for (int f = 0; f < n; f++)
        codes[f * code_stride] = winner(best[f], best_panel[f]);
}

void TESS_KERNEL(tess_nearest)(const struct tess_codebook *book,
                               const float *z,
                               int stride,
                               int n,
                               uint16_t *codes,
                               int code_stride)
{
    int f = 0;
    for (; f + FRAMES <= n;
         f += FRAMES, z += (ptrdiff_t)FRAMES * stride, codes += (ptrdiff_t)FRAMES * code_stride)
        search(book, z, stride, FRAMES, codes, code_stride);
    for (; f < n; f++, z += stride, codes += code_stride)
        search(book, z, stride, 1, codes, code_stride);
}
