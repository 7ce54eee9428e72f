/* Bytes into a file without a name, written by the loop's helper threads: a disk that takes its time
 * keeps nobody waiting. All calls on the loop's thread. */
#ifndef SRV_SPOOL_H
#define SRV_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct srv_spool;

/** Called when all that was put is written (error = 0), or could not be (a negative errno). */
typedef void srv_spool_done(void *ctx, int error);

/** A file in TMPDIR or /tmp. Errors: a negative errno. */
int srv_spool_create(struct srv_spool **spool, uv_loop_t *loop, srv_spool_done *done, void *ctx);

/** Copies n bytes, to be written after those before them. Returns 0 or a negative errno. */
int srv_spool_put(struct srv_spool *spool, const uint8_t *bytes, size_t n);

/** Is there something to write yet? */
bool srv_spool_busy(const struct srv_spool *spool);

/** The file, at its start; it is the caller's and the spool is gone. Only while it is not busy. */
int srv_spool_take(struct srv_spool *spool);

/** No call to done after this. NULL is allowed. */
void srv_spool_destroy(struct srv_spool *spool);

#endif
