/* The integer kernel behind gemm8.h, compiled once per instruction set. Rows of floats in, each brought
 * to 8 bits by its own largest value; sums of products in 32 bits, exact and so the same in any order;
 * floats out. */
#include "src/gemm8.h"
#include "src/simd.h"

/* A group is what one instruction multiplies at a time: so many values of k side by side for each output.
 * The panels are laid out for it: [k / GROUP][16 outputs][GROUP]. */
#if defined(TESS_ISA_AVX512) /* 4 unsigned bytes by 4 signed ones (VNNI) */
typedef uint8_t quantum;
enum { GROUP = 4, ZERO = 128, MAX_ROWS = 12, MAX_PANELS = 8 };
#define PANELS_FOR(rows) ((rows) == 1 ? 8 : (rows) <= 4 ? 4 : 2)
#else /* 2 by 2 values of 16 bits */
typedef int16_t quantum;
enum { GROUP = 2, ZERO = 0, MAX_ROWS = 6, MAX_PANELS = 4 };
#define PANELS_FOR(rows) (TESS_LANES == 8 && (rows) == 1 ? 4 : 1)
#endif

enum {
    NR = TESS_PANEL,
    VECTORS = NR / TESS_LANES, /* vectors a panel */
    CHUNK = 4 * MAX_ROWS,      /* rows that are brought to 8 bits at a time */
};

void TESS_KERNEL(tess_gemm8)(const struct tess_matrix *matrix,
                             const struct tess_windows *rows,
                             float *y,
                             size_t y_stride,
                             float *scratch);

/* The weights of one group and TESS_LANES outputs. */
static inline vi load_weights(const int8_t *p)
{
#if defined(TESS_ISA_AVX512)
    return vi_load((const int32_t *)(const void *)p);
#elif defined(TESS_ISA_AVX2)
    return (vi)_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p));
#elif defined(TESS_ISA_NEON)
    return (vi)vmovl_s8(vld1_s8(p));
#else
    return (vi)((uint32_t)(uint16_t)p[0] | (uint32_t)(uint16_t)p[1] << 16);
#endif
}

/* acc + the sum over a group of x w, in every lane. */
static inline vi multiply_add(vi acc, vi x, vi w)
{
#if defined(TESS_ISA_AVX512)
    return (vi)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)x, (__m512i)w);
#elif defined(TESS_ISA_AVX2)
    return acc + (vi)_mm256_madd_epi16((__m256i)x, (__m256i)w);
#elif defined(TESS_ISA_NEON)
    int32x4_t low = vmull_s16(vget_low_s16((int16x8_t)x), vget_low_s16((int16x8_t)w));
    return acc + (vi)vpaddq_s32(low, vmull_high_s16((int16x8_t)x, (int16x8_t)w));
#else
    return acc + (int16_t)x * (int16_t)w + (int16_t)(x >> 16) * (int16_t)(w >> 16);
#endif
}

static inline vi load_group(const quantum *x)
{
    int32_t group;
    memcpy(&group, x, sizeof group);
    return vi_set(group);
}

/* ---- floats to 8 bits ------------------------------------------------------------------------ */

typedef quantum lanes __attribute__((vector_size(TESS_LANES * sizeof(quantum))));

static inline void store_quanta(quantum *to, vi q, int n)
{
    quantum one[TESS_LANES];
#if TESS_LANES == 1
    one[0] = (quantum)q;
#else
    lanes narrow = __builtin_convertvector(q, lanes);
    memcpy(one, &narrow, sizeof one);
#endif
    if (n >= TESS_LANES)
        memcpy(to, one, sizeof one);
    else if (n > 0)
        memcpy(to, one, (size_t)n * sizeof *to);
}

static float largest(const float *x, int n, float so_far)
{
    vf most = vf_set(so_far);
    for (int i = 0; i < n; i += TESS_LANES)
        most = vf_max(most, vi_floats(vf_bits(vf_load_n(x + i, n - i)) & vi_set(0x7FFFFFFF)));
    float one[TESS_LANES], max = 0.0f;
    vf_store(one, most);
    for (int i = 0; i < TESS_LANES; i++)
        max = one[i] > max ? one[i] : max;
    return max;
}

/* One window to q [k rounded up to a group]; returns what a quantum stands for. */
static float quantize(const struct tess_windows *rows, int row, quantum *q, size_t depth)
{
    const float *x = rows->x + (size_t)row * rows->row_stride;
    float max = 0.0f;
    for (int tap = 0; tap < rows->taps; tap++)
        max = largest(x + (size_t)tap * rows->tap_stride, rows->width, max);
    const int silent = !(max > TESS_INT8_SILENCE);
    const vf inverse = vf_set(silent ? 0.0f : 127.0f / max);
    for (int tap = 0; tap < rows->taps; tap++, x += rows->tap_stride)
        for (int i = 0, n = rows->width; i < n; i += TESS_LANES)
            store_quanta(q + (size_t)tap * (size_t)n + i,
                         vf_round_int(vf_load_n(x + i, n - i) * inverse) + vi_set(ZERO), n - i);
    for (size_t i = (size_t)rows->taps * (size_t)rows->width; i < depth; i++)
        q[i] = ZERO;
    return silent ? 0.0f : max / 127.0f;
}

/* ---- the product ----------------------------------------------------------------------------- */

/* n_rows rows of quanta, n_panels panels of weights from output `n` on. */
struct part {
    const quantum *q;
    const float *unit; /* of each row */
    size_t depth;
    int n_rows;
    const int8_t *panels;
    int n_panels;
    const int32_t *offset; /* these three from output n on */
    const float *scale, *bias;
    int n_left; /* outputs from n on */
    float *y;   /* at the first row, output n */
    size_t y_stride;
};

/* n_rows and n_panels are constants where this is inlined: the accumulators are registers. */
static inline __attribute__((always_inline)) void
tile(const struct part *part, int n_rows, int n_panels)
{
    const size_t depth = part->depth;
    vi acc[MAX_ROWS][MAX_PANELS * VECTORS];
    for (int r = 0; r < n_rows; r++)
        for (int v = 0; v < n_panels * VECTORS; v++)
            acc[r][v] = vi_load(part->offset + v * TESS_LANES);
    for (size_t k = 0; k < depth; k += GROUP) {
        vi w[MAX_PANELS * VECTORS];
        for (int v = 0; v < n_panels * VECTORS; v++)
            w[v] = load_weights(part->panels + (size_t)(v / VECTORS) * depth * NR + k * NR +
                                (size_t)(v % VECTORS) * TESS_LANES * GROUP);
        for (int r = 0; r < n_rows; r++) {
            vi x = load_group(part->q + (size_t)r * depth + k);
            for (int v = 0; v < n_panels * VECTORS; v++)
                acc[r][v] = multiply_add(acc[r][v], x, w[v]);
        }
    }
    for (int r = 0; r < n_rows; r++)
        for (int v = 0; v < n_panels * VECTORS; v++) {
            int n = v * TESS_LANES;
            vf scale = vf_set(part->unit[r]) * vf_load(part->scale + n);
            vf_store_n(part->y + (size_t)r * part->y_stride + n,
                       vf_fma(vi_to_vf(acc[r][v]), scale, vf_load(part->bias + n)),
                       part->n_left - n);
        }
}

/* The panels left over at the edge go one by one. */
#define CASE(R)                                                                                    \
    case R:                                                                                        \
        if (part.n_panels == PANELS_FOR(R)) {                                                      \
            tile(&part, R, PANELS_FOR(R));                                                         \
            return;                                                                                \
        }                                                                                          \
        for (int i = 0; i < part.n_panels; i++) {                                                  \
            tile(&part, R, 1);                                                                     \
            part.panels += part.depth * NR;                                                        \
            part.offset += NR, part.scale += NR, part.bias += NR, part.y += NR;                    \
            part.n_left -= NR;                                                                     \
        }                                                                                          \
        return;

#if defined(TESS_ISA_AVX512)
#define MORE_CASES CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12)
#else
#define MORE_CASES
#endif

static void run(struct part part)
{
    switch (part.n_rows) {
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
        MORE_CASES
    }
}

/* Rows that lie as quanta already, against all panels. */
static void multiply(const struct tess_matrix *matrix, struct part part, int n_rows)
{
    const int n_panels = (matrix->n + NR - 1) / NR, n_tiles = (n_rows + MAX_ROWS - 1) / MAX_ROWS;
    const int step = PANELS_FOR((n_rows + n_tiles - 1) / n_tiles);
    for (int panel = 0; panel < n_panels; panel += step) {
        struct part now = part;
        now.panels = (const int8_t *)matrix->panels + (size_t)panel * NR * part.depth;
        now.n_panels = n_panels - panel < step ? n_panels - panel : step;
        now.offset = matrix->offset + panel * NR;
        now.scale = matrix->scale + panel * NR;
        now.bias = matrix->bias + panel * NR;
        now.n_left = matrix->n - panel * NR;
        for (int i = 0, row = 0; i < n_tiles; i++, row += now.n_rows) { /* 13 are 7 and 6 */
            now.n_rows = (n_rows - row + n_tiles - i - 1) / (n_tiles - i);
            now.q = part.q + (size_t)row * part.depth;
            now.unit = part.unit + row;
            now.y = part.y + panel * NR + (size_t)row * part.y_stride;
            run(now);
        }
    }
}

void TESS_KERNEL(tess_gemm8)(const struct tess_matrix *matrix,
                             const struct tess_windows *rows,
                             float *y,
                             size_t y_stride,
                             float *scratch)
{
    const size_t depth = tess_int8_depth(matrix->k);
    quantum *q = (quantum *)(void *)scratch; /* [CHUNK][depth] */
    _Static_assert(CHUNK * sizeof(quantum) <= TESS_INT8_SCRATCH, "scratch");
    float unit[CHUNK];
    for (int row = 0; row < rows->n_rows; row += CHUNK) {
        const int n = rows->n_rows - row < CHUNK ? rows->n_rows - row : CHUNK;
        for (int r = 0; r < n; r++)
            unit[r] = quantize(rows, row + r, q + (size_t)r * depth, depth);
        struct part part = {.q = q,
                            .unit = unit,
                            .depth = depth,
                            .y = y + (size_t)row * y_stride,
                            .y_stride = y_stride};
        multiply(matrix, part, n);
    }
}
