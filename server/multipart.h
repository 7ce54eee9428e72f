/* A form's body (RFC 7578) in, in pieces of any size; the bytes of its part "file" out. */
#ifndef SRV_MULTIPART_H
#define SRV_MULTIPART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SRV_MAX_BOUNDARY = 70 }; /* RFC 2046 */

struct srv_multipart {
    char delimiter[4 + SRV_MAX_BOUNDARY + 1]; /* "\r\n--" and the boundary */
    size_t n_delimiter, n_matched;
    enum { MULTIPART_DATA, MULTIPART_AFTER, MULTIPART_HEAD, MULTIPART_END } state;
    char line[256]; /* of a part's head, the rest of a longer one left out */
    size_t n_line;
    bool wanted; /* the part under way is the file */
    bool found;
};

typedef void srv_multipart_out(void *ctx, const uint8_t *bytes, size_t n);

bool srv_multipart_is(const char *content_type);

/** Reads the boundary. Returns false when there is none, or no good one. */
bool srv_multipart_init(struct srv_multipart *m, const char *content_type);

/** Returns false when the bytes are not such a body's. */
bool srv_multipart_push(
    struct srv_multipart *m, const uint8_t *bytes, size_t n, srv_multipart_out *out, void *ctx);

/** Has the form come to its end, and was a file in it? */
bool srv_multipart_whole(const struct srv_multipart *m);

#endif
