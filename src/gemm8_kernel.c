/* The integer kernel behind gemm8.h, compiled once per instruction set. Rows of floats in, each brought
 * to 8 bits by its own largest value; sums of products in 32 bits, exact and so the same in any order;
 * floats out. */
#include "src/gemm8.h"
#include "src/simd.h"

/* A group is what one instruction multiplies at a time: so many values of k side by side for each output.
 * The panels are laid out for it: [k / GROUP][16 outputs][GROUP]. */
#if defined(TESS_ISA_AVX512) /* 4 unsigned bytes by 4 signed ones (VNNI) */
typedef uint8_t quantum;
enum { ZERO = 128, MAX_ROWS = 12 };
#define PANELS_FOR(rows) ((rows) == 1 ? 1 : 2)
#define CHAINS_FOR(rows) ((rows) == 1 ? 4 : (rows) <= 4 ? 2 : 1)
#else /* 2 by 2 values of 16 bits */
typedef int16_t quantum;
enum { ZERO = 0, MAX_ROWS = 6 };
#define PANELS_FOR(rows) 1
#define CHAINS_FOR(rows) (TESS_LANES == 8 && (rows) == 1 ? 4 : 1)
#endif

enum {
    GROUP = TESS_DOT,
    NR = TESS_PANEL,
    VECTORS = NR / TESS_LANES, /* vectors a panel */
    MAX_SUMS = 4 * VECTORS,    /* of a row: panels times chains */
    CHUNK = 4 * MAX_ROWS,      /* rows that are brought to 8 bits at a time */
    BLOCK = TESS_INT8_BLOCK,
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

static inline vi load_group(const quantum *x)
{
    int32_t group;
    memcpy(&group, x, sizeof group);
    return vi_set(group);
}

/* ---- floats to 8 bits ------------------------------------------------------------------------ */

typedef quantum lanes __attribute__((vector_size(TESS_LANES * sizeof(quantum))));

/* A row of quanta, among `n_rows` that lie beside each other: see gemm8.h. */
static inline quantum *quantum_at(quantum *row, int n_rows, size_t k)
{
    return row + k / BLOCK * BLOCK * (size_t)n_rows + k % BLOCK;
}

static inline void store_quanta(quantum *row, int n_rows, size_t k, vi q, int n)
{
    quantum one[TESS_LANES];
#if TESS_LANES == 1
    one[0] = (quantum)q;
#else
    lanes narrow = __builtin_convertvector(q, lanes);
    memcpy(one, &narrow, sizeof one);
#endif
    if (n >= TESS_LANES && k % BLOCK <= BLOCK - TESS_LANES)
        memcpy(quantum_at(row, n_rows, k), one, sizeof one);
    else
        for (size_t i = 0; i < TESS_LANES && (int)i < n; i++)
            *quantum_at(row, n_rows, k + i) = one[i];
}

static inline vf magnitude(vf x)
{
    return vi_floats(vf_bits(x) & vi_set(0x7FFFFFFF));
}

/* The largest of so_far and |x[i]|, whatever their order. */
static float largest(const float *x, int n, float so_far)
{
    enum { AT_ONCE = TESS_LANES < 16 ? TESS_FOLDED : 4, STEP = AT_ONCE * TESS_LANES };
    vf most[AT_ONCE]; /* comparisons that do not wait for each other */
    for (int j = 0; j < AT_ONCE; j++)
        most[j] = vf_set(so_far);
    int i = 0;
    for (; i + STEP <= n; i += STEP)
        for (int j = 0; j < AT_ONCE; j++)
            most[j] = vf_max(most[j], magnitude(vf_load(x + i + j * TESS_LANES)));
    for (; i < n; i += TESS_LANES)
        most[0] = vf_max(most[0], magnitude(vf_load_n(x + i, n - i)));
    for (int j = TESS_FOLDED; j < AT_ONCE; j++)
        most[0] = vf_max(most[0], most[j]);
    return vf_fold_max(most);
}

/* One window to a row of quanta, filled up to the depth; returns what a quantum stands for. */
static float
quantize(const struct tess_windows *rows, int row, quantum *q, int n_rows, size_t depth)
{
    const float *x = rows->x + (size_t)row * rows->row_stride;
    float max = 0.0f;
    for (int tap = 0; tap < rows->taps; tap++)
        max = largest(x + (size_t)tap * rows->tap_stride, rows->width, max);
    const int silent = !(max > TESS_INT8_SILENCE);
    const vf inverse = vf_set(silent ? 0.0f : 127.0f / max);
    size_t k = 0;
    for (int tap = 0; tap < rows->taps; tap++, x += rows->tap_stride, k += (size_t)rows->width)
        for (int i = 0, n = rows->width; i < n; i += TESS_LANES)
            store_quanta(q, n_rows, k + (size_t)i,
                         vf_round_int(vf_load_n(x + i, n - i) * inverse) + vi_set(ZERO), n - i);
    for (; k < depth; k++)
        *quantum_at(q, n_rows, k) = ZERO;
    return silent ? 0.0f : max / 127.0f;
}

/* ---- the product ----------------------------------------------------------------------------- */

/* n_rows rows of quanta, n_panels panels of weights from output `n` on. */
struct part {
    const quantum *q;
    size_t block;      /* from one block of q to the next */
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

typedef vi sums[MAX_ROWS][MAX_SUMS]; /* [row][chain][panel][vector] */

/* A group of each row's quanta, at q, times the weights of all panels, onto one chain of sums. */
static inline __attribute__((always_inline)) void add_group(sums acc,
                                                            const quantum *q,
                                                            const int8_t *panels,
                                                            size_t panel_bytes,
                                                            int n_rows,
                                                            int n_panels,
                                                            int chain)
{
    const int n = n_panels * VECTORS;
    vi w[MAX_SUMS];
    for (int v = 0; v < n; v++)
        w[v] = load_weights(panels + (size_t)(v / VECTORS) * panel_bytes +
                            (size_t)(v % VECTORS) * TESS_LANES * GROUP);
    for (int r = 0; r < n_rows; r++) {
        vi x = load_group(q + r * BLOCK);
        for (int v = 0; v < n; v++)
            acc[r][chain * n + v] = vi_dot(acc[r][chain * n + v], x, w[v]);
    }
}

/* The three numbers are constants where this is inlined: sums are registers, rows at constant
 * distances. A sum waits for the one before it on its chain, so few rows need several chains; with
 * these they take few panels at once, and the weights, which they wait for, come in their order. */
static inline __attribute__((always_inline)) void
tile(const struct part *part, int n_rows, int n_panels, int n_chains)
{
    const int n = n_panels * VECTORS;
    const size_t depth = part->depth;
    sums acc;
    for (int r = 0; r < n_rows; r++)
        for (int v = 0; v < n_chains * n; v++)
            acc[r][v] = v < n ? vi_load(part->offset + v * TESS_LANES) : vi_set(0);
    const quantum *q = part->q;
    size_t block = 0;
    do { /* at least one: then the sums need no memory for a loop that is skipped */
        const size_t end = depth - block < BLOCK ? depth - block : BLOCK;
        size_t k = 0;
        do {
            for (int chain = 0; chain < n_chains; chain++, k += GROUP)
                add_group(acc, q + k, part->panels + (block + k) * NR, depth * NR, n_rows, n_panels,
                          chain);
        } while (k < end);
        q += part->block;
        block += BLOCK;
    } while (block < depth);
    /* A tile over the matrix's edge goes elsewhere first, as a whole, for the same reason. */
    float edge[MAX_ROWS * MAX_SUMS * TESS_LANES];
    const int over = part->n_left < n * TESS_LANES;
    float *y = over ? edge : part->y;
    const size_t y_stride = over ? (size_t)n * TESS_LANES : part->y_stride;
    for (int r = 0; r < n_rows; r++)
        for (int v = 0; v < n; v++) {
            vi sum = acc[r][v];
            for (int chain = 1; chain < n_chains; chain++)
                sum = sum + acc[r][chain * n + v];
            vf scale = vf_set(part->unit[r]) * vf_load(part->scale + v * TESS_LANES);
            vf_store(y + (size_t)r * y_stride + v * TESS_LANES,
                     vf_fma(vi_to_vf(sum), scale, vf_load(part->bias + v * TESS_LANES)));
        }
    for (int r = 0; r < n_rows && over; r++)
        memcpy(part->y + (size_t)r * part->y_stride, edge + (size_t)r * y_stride,
               (size_t)part->n_left * sizeof *edge);
}

static inline void next_panels(struct part *part, int n)
{
    part->panels += (size_t)n * part->depth * NR;
    part->offset += n * NR, part->scale += n * NR, part->bias += n * NR, part->y += n * NR;
    part->n_left -= n * NR;
    part->n_panels -= n;
}

/* Panels left over at the edge go one by one. */
#define CASE(R)                                                                                    \
    case R:                                                                                        \
        for (; part.n_panels >= PANELS_FOR(R); next_panels(&part, PANELS_FOR(R)))                  \
            tile(&part, R, PANELS_FOR(R), CHAINS_FOR(R));                                          \
        for (; part.n_panels > 0; next_panels(&part, 1))                                           \
            tile(&part, R, 1, CHAINS_FOR(R));                                                      \
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

/* Rows that lie as quanta already, against all panels: if they are more than a tile has, a few panels
 * at a time, which the cache then holds for all tiles. */
static void multiply(const struct tess_matrix *matrix, struct part part, int n_rows)
{
    const int n_panels = (matrix->n + NR - 1) / NR, n_tiles = (n_rows + MAX_ROWS - 1) / MAX_ROWS;
    const int step = n_tiles == 1 ? n_panels : PANELS_FOR(MAX_ROWS);
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
            now.q = part.q + (size_t)row * BLOCK;
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
    quantum *q = (quantum *)(void *)scratch;
    _Static_assert(CHUNK * sizeof(quantum) <= 48, "scratch");
    float unit[CHUNK];
    for (int row = 0; row < rows->n_rows; row += CHUNK) {
        const int n = rows->n_rows - row < CHUNK ? rows->n_rows - row : CHUNK;
        for (int r = 0; r < n; r++)
            unit[r] = quantize(rows, row + r, q + (size_t)r * BLOCK, n, depth);
        struct part part = {.q = q,
                            .block = (size_t)n * BLOCK,
                            .unit = unit,
                            .depth = depth,
                            .y = y + (size_t)row * y_stride,
                            .y_stride = y_stride};
        multiply(matrix, part, n);
    }
}
