/* Codes in, bytes out, and back. At most 7 bits wait between two codes, in the low end of a
 * 32-bit word. */
#include "rvq/bits.h"

int tess_bits_init(struct tess_bits *bits, int64_t entries, int64_t code_min)
{
    if (entries < 1 || entries > 65536) return TESS_E_ARGUMENT;
    if (code_min > 0 || code_min < INT16_MIN) return TESS_E_ARGUMENT;
    if (code_min < 0 && code_min + entries - 1 > INT16_MAX) return TESS_E_ARGUMENT;
    *bits = (struct tess_bits){.entries = (int)entries, .code_min = (int)code_min, .width = 1};
    while (entries > 1 << bits->width)
        bits->width++;
    return TESS_OK;
}

size_t tess_bits_bytes(const struct tess_bits *bits, size_t n)
{
    size_t width = (size_t)bits->width;
    return n / 8 * width + (n % 8 * width + 7) / 8;
}

/* A code's place in its range. Modulo 2^16 signed and unsigned codes need no distinction. */
static uint16_t place(const struct tess_bits *bits, uint16_t code)
{
    return (uint16_t)(code - bits->code_min);
}

int tess_bits_check(const struct tess_bits *bits, const uint16_t *codes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (place(bits, codes[i]) >= bits->entries) return TESS_E_CODE;
    return TESS_OK;
}

void tess_bits_pack(const struct tess_bits *bits, const uint16_t *codes, size_t n, uint8_t *bytes)
{
    uint32_t word = 0;
    int held = 0;
    for (size_t i = 0; i < n; i++) {
        word |= (uint32_t)place(bits, codes[i]) << held;
        for (held += bits->width; held >= 8; held -= 8, word >>= 8)
            *bytes++ = (uint8_t)word;
    }
    if (held > 0) *bytes = (uint8_t)word;
}

int tess_bits_unpack(
    const struct tess_bits *bits, const uint8_t *bytes, size_t n_bytes, uint16_t *codes, size_t n)
{
    if (n_bytes != tess_bits_bytes(bits, n)) return TESS_E_FORMAT;
    uint32_t word = 0, mask = (UINT32_C(1) << bits->width) - 1;
    int held = 0;
    for (size_t i = 0; i < n; i++) {
        for (; held < bits->width; held += 8)
            word |= (uint32_t)*bytes++ << held;
        uint32_t stored = word & mask;
        if (stored >= (uint32_t)bits->entries) return TESS_E_CODE;
        codes[i] = (uint16_t)((int)stored + bits->code_min);
        word >>= bits->width;
        held -= bits->width;
    }
    return word ? TESS_E_FORMAT : TESS_OK;
}
