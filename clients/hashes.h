/* Hashes of every frame and of the encoder after it: where two machines part, a line differs.
 *
 * The file: "# tessera hashes, model FINGERPRINT, K codebooks", then a line a frame,
 * "INDEX TOKENS STATE": the frame's number, a hash of its K codes (as 16-bit little-endian), and a
 * hash of the encoder's block of bytes once the frame is out, the sound having been pushed hop by
 * hop. Both are 64-bit FNV-1a as 16 hexadecimal digits. */
#ifndef CLI_HASHES_H
#define CLI_HASHES_H

#include "output.h"
#include "src/tessera.h"

#define CLI_HASHES_START "# tessera hashes"

struct cli_hashes {
    struct cli_output *out; /* borrowed */
    const struct tess_encoder *encoder;
    size_t n_encoder; /* its bytes */
    int codebooks;
    int64_t n_frames;
};

/** Starts the file. Returns 0 or an exit code, the reason told. */
int cli_hashes_open(struct cli_hashes *hashes,
                    struct cli_output *out,
                    const struct tess_model *model,
                    const struct tess_model_info *info,
                    const struct tess_encoder *encoder,
                    int codebooks);

/** Notes one frame [K], to be called right after the push that gave it. Returns as above. */
int cli_hashes_put(struct cli_hashes *hashes, const uint16_t *frame);

#endif
