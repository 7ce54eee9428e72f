/* Frames and the encoder's bytes in, lines of hashes out. */
#include "hashes.h"

#include "find_model.h"
#include "report.h"

#include <inttypes.h>
#include <stdio.h>

#define FNV_START UINT64_C(0xcbf29ce484222325)

static uint64_t fnv(uint64_t hash, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

int cli_hashes_open(struct cli_hashes *h,
                    struct cli_output *out,
                    const struct tess_model *model,
                    const struct tess_model_info *info,
                    const struct tess_encoder *encoder,
                    int codebooks)
{
    *h = (struct cli_hashes){out, encoder, tess_encoder_size(model), codebooks, 0};
    char line[96];
    int n = snprintf(line, sizeof line, CLI_HASHES_START ", model %s, %d codebooks\n",
                     cli_fingerprint(info->sha256).text, codebooks);
    return cli_output_write(out, line, (size_t)n) < 0 ? cli_output_fail(out) : CLI_OK;
}

int cli_hashes_put(struct cli_hashes *h, const uint16_t *frame)
{
    uint64_t tokens = FNV_START;
    for (int k = 0; k < h->codebooks; k++) {
        uint8_t code[2] = {(uint8_t)frame[k], (uint8_t)(frame[k] >> 8)};
        tokens = fnv(tokens, code, sizeof code);
    }
    uint64_t state = fnv(FNV_START, (const uint8_t *)h->encoder, h->n_encoder);
    char line[64];
    int n = snprintf(line, sizeof line, "%" PRId64 " %016" PRIx64 " %016" PRIx64 "\n",
                     h->n_frames++, tokens, state);
    return cli_output_write(h->out, line, (size_t)n) < 0 ? cli_output_fail(h->out) : CLI_OK;
}
