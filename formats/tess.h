/* The header of a .tess file of a model's codes. */
#ifndef FMT_TESS_H
#define FMT_TESS_H

#include "src/tessera.h"

/** A header for `codebooks` columns of the model's codes, of a source at source_rate whose length the
 *  trailer tells: a file and a pipe have the same bytes. Cannot fail. */
struct tess_file_info
fmt_tess_info(const struct tess_model_info *model, int codebooks, int source_rate);

#endif
