/* Codes as bits: each takes the fewest bits that every code of its range fits, without gaps.
 *
 * Code i stands in bits i w .. (i + 1) w - 1, its lowest bit first; bit j of the sequence is bit
 * j % 8 (1 << j % 8) of byte j / 8; what remains of the last byte is zero. What is stored is
 * code - code_min, so a signed range costs no more than an unsigned one. */
#ifndef TESS_BITS_H
#define TESS_BITS_H

#include "src/base.h"

struct tess_bits {
    int entries, code_min; /* codes run from code_min to code_min + entries - 1 */
    int width;             /* bits a code */
};

/** Ranges that 16 bits hold: 1..65536 entries, and code_min 0, or below 0 with both ends in
 *  int16_t (codes are then int16_t stored in uint16_t). Errors: ARGUMENT. */
int tess_bits_init(struct tess_bits *bits, int64_t entries, int64_t code_min);

/** Bytes that n codes take. Cannot fail. */
size_t tess_bits_bytes(const struct tess_bits *bits, size_t n);

/** Whether all n codes are in range: 0 or CODE. */
int tess_bits_check(const struct tess_bits *bits, const uint16_t *codes, size_t n);

/** n codes in range to tess_bits_bytes(bits, n) bytes. Cannot fail. */
void tess_bits_pack(const struct tess_bits *bits, const uint16_t *codes, size_t n, uint8_t *bytes);

/** And back. Errors: FORMAT (n_bytes is not what n codes take, or padding is not zero), CODE
 *  (`codes` is then undefined). Never reads past n_bytes. */
int tess_bits_unpack(
    const struct tess_bits *bits, const uint8_t *bytes, size_t n_bytes, uint16_t *codes, size_t n);

#endif
