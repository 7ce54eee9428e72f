/* The fixed-order kernel behind gemm.h, compiled once per instruction set. Tiles go over rows and
 * outputs, never over k: one accumulator an output, walking k upwards. */
#include "src/gemm.h"
#include "src/simd.h"

enum { NR = TESS_PANEL, VECTORS = NR / TESS_LANES }; /* vectors a panel */

/* Registers bound a tile: rows * panels * VECTORS accumulators beside the weights of one k and a
 * broadcast. There are 32 of them (AVX-512, NEON) or 16 (AVX2). Few rows take more panels at once,
 * so that enough products are in flight. */
#if TESS_LANES == 16
enum { MAX_ROWS = 12, MAX_PANELS = 8 };
#define PANELS_FOR(rows) ((rows) == 1 ? 8 : (rows) <= 4 ? 4 : 2)
#elif TESS_LANES == 8
enum { MAX_ROWS = 6, MAX_PANELS = 4 };
#define PANELS_FOR(rows) ((rows) == 1 ? 4 : (rows) == 2 ? 2 : 1)
#elif TESS_LANES == 4
enum { MAX_ROWS = 6, MAX_PANELS = 4 };
#define PANELS_FOR(rows) ((rows) == 1 ? 4 : (rows) <= 3 ? 2 : 1)
#else
enum { MAX_ROWS = 6, MAX_PANELS = 1 };
#define PANELS_FOR(rows) 1
#endif

void TESS_KERNEL(tess_gemm)(const struct tess_matrix *matrix,
                            const struct tess_windows *rows,
                            float *y,
                            size_t y_stride,
                            float *scratch);

static inline __attribute__((always_inline)) vf load_weights(const void *panel, size_t i, int half)
{
    return half ? vf_load_half((const uint16_t *)panel + i) : vf_load((const float *)panel + i);
}

/* Part of the product: n_rows rows from `row` on, n_panels panels of weights from output `n` on. */
struct part {
    const struct tess_windows *rows;
    int row, n_rows;
    const char *panels;
    int n_panels;
    const float *bias; /* from output n on */
    int n_left;        /* outputs from n on */
    float *y;          /* at row 0, output n */
    size_t y_stride;
};

/* n_rows and n_panels are constants where this is inlined: the accumulators are registers. */
static inline __attribute__((always_inline)) void
tile(const struct part *part, size_t depth, int n_rows, int n_panels, int half)
{
    const struct tess_windows *rows = part->rows;
    const size_t panel_bytes = depth * NR * (half ? sizeof(uint16_t) : sizeof(float));
    vf acc[MAX_ROWS][MAX_PANELS * VECTORS];
    for (int r = 0; r < n_rows; r++)
        for (int v = 0; v < n_panels * VECTORS; v++)
            acc[r][v] = vf_set(0.0f);
    size_t k = 0;
    for (int tap = 0; tap < rows->taps; tap++) {
        const float *x =
            rows->x + (size_t)part->row * rows->row_stride + (size_t)tap * rows->tap_stride;
        for (int c = 0; c < rows->width; c++, k++) {
            vf w[MAX_PANELS * VECTORS];
            for (int v = 0; v < n_panels * VECTORS; v++)
                w[v] = load_weights(part->panels + (size_t)(v / VECTORS) * panel_bytes,
                                    k * NR + (size_t)(v % VECTORS) * TESS_LANES, half);
            for (int r = 0; r < n_rows; r++) {
                vf b = vf_set(x[(size_t)r * rows->row_stride + (size_t)c]);
                for (int v = 0; v < n_panels * VECTORS; v++)
                    acc[r][v] = vf_fma(b, w[v], acc[r][v]);
            }
        }
    }
    for (int r = 0; r < n_rows; r++)
        for (int v = 0; v < n_panels * VECTORS; v++) {
            int n = v * TESS_LANES;
            vf_store_n(part->y + (size_t)(part->row + r) * part->y_stride + n,
                       acc[r][v] + vf_load(part->bias + n), part->n_left - n);
        }
}

/* The panels left over at the edge go one by one. */
#define CASE(R, HALF)                                                                              \
    case R:                                                                                        \
        if (part.n_panels == PANELS_FOR(R)) {                                                      \
            tile(&part, depth, R, PANELS_FOR(R), HALF);                                            \
            return;                                                                                \
        }                                                                                          \
        for (int i = 0; i < part.n_panels; i++) {                                                  \
            tile(&part, depth, R, 1, HALF);                                                        \
            part.panels += depth * NR * (HALF ? sizeof(uint16_t) : sizeof(float));                 \
            part.bias += NR, part.y += NR, part.n_left -= NR;                                      \
        }                                                                                          \
        return;
#if TESS_LANES == 16
#define MORE_CASES(HALF)                                                                           \
    CASE(7, HALF) CASE(8, HALF) CASE(9, HALF) CASE(10, HALF) CASE(11, HALF) CASE(12, HALF)
#else
#define MORE_CASES(HALF)
#endif
#define DEFINE_RUN(NAME, HALF)                                                                     \
    static void NAME(struct part part, size_t depth)                                               \
    {                                                                                              \
        switch (part.n_rows) {                                                                     \
            CASE(1, HALF)                                                                          \
            CASE(2, HALF) CASE(3, HALF) CASE(4, HALF) CASE(5, HALF) CASE(6, HALF) MORE_CASES(HALF) \
        }                                                                                          \
    }
DEFINE_RUN(run_floats, 0)
DEFINE_RUN(run_halves, 1)

/* Panels as floats, once for many tiles: with 512-bit vectors the conversion costs as much as two
 * products, with 256 bits it hides behind them. */
static const char *widen(const char *panels, size_t n, float *scratch)
{
    for (size_t i = 0; i < n; i += TESS_LANES)
        vf_store(scratch + i, vf_load_half((const uint16_t *)(const void *)panels + i));
    return (const char *)scratch;
}

void TESS_KERNEL(tess_gemm)(const struct tess_matrix *matrix,
                            const struct tess_windows *rows,
                            float *y,
                            size_t y_stride,
                            float *scratch)
{
    const size_t depth = (size_t)matrix->k;
    const size_t panel_bytes = depth * NR * (matrix->half ? sizeof(uint16_t) : sizeof(float));
    const int n_panels = (matrix->n + NR - 1) / NR;
    const int n_tiles = (rows->n_rows + MAX_ROWS - 1) / MAX_ROWS;
    const int widened = matrix->half && TESS_LANES == 16 && n_tiles > 2;
    if (n_tiles == 0) return;
    const int step = PANELS_FOR((rows->n_rows + n_tiles - 1) / n_tiles);
    for (int panel = 0; panel < n_panels; panel += step) {
        struct part part = {
            .rows = rows,
            .panels = (const char *)matrix->panels + (size_t)panel * panel_bytes,
            .n_panels = n_panels - panel < step ? n_panels - panel : step,
            .bias = matrix->bias + panel * NR,
            .n_left = matrix->n - panel * NR,
            .y = y + panel * NR,
            .y_stride = y_stride,
        };
        if (widened) part.panels = widen(part.panels, (size_t)part.n_panels * depth * NR, scratch);
        for (int i = 0; i < n_tiles; i++) { /* rows split evenly: 13 are 7 and 6, not 12 and 1 */
            part.n_rows = (rows->n_rows - part.row + n_tiles - i - 1) / (n_tiles - i);
            (matrix->half && !widened ? run_halves : run_floats)(part, depth);
            part.row += part.n_rows;
        }
    }
}
