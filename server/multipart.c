/* The delimiter is the only thing looked for in a part's bytes. Its only CR is its first byte, so a
 * match that fails can begin anew nowhere but at the byte that failed it. */
#include "server/multipart.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char type[] = "multipart/form-data";

bool srv_multipart_is(const char *content_type)
{
    return strncasecmp(content_type, type, sizeof type - 1) == 0;
}

bool srv_multipart_init(struct srv_multipart *m, const char *content_type)
{
    static const char name[] = "boundary=";
    *m = (struct srv_multipart){.state = MULTIPART_DATA};
    const char *boundary = content_type;
    while (*boundary && strncasecmp(boundary, name, sizeof name - 1) != 0)
        boundary++;
    if (!*boundary) return false;
    boundary += sizeof name - 1;
    bool quoted = *boundary == '"';
    size_t n = strcspn(boundary += quoted, quoted ? "\"" : " ;\t");
    if (n == 0 || n > SRV_MAX_BOUNDARY || memchr(boundary, '\r', n)) return false;
    int length = snprintf(m->delimiter, sizeof m->delimiter, "\r\n--%.*s", (int)n, boundary);
    m->n_delimiter = (size_t)length;
    m->n_matched = 2; /* the first delimiter may be without a line before it */
    return true;
}

/* ---- a part's head ---- */

/* Content-Disposition: form-data; name="file" */
static bool names_file(const char *line)
{
    static const char header[] = "content-disposition:", name[] = "name=\"file\"";
    if (strncasecmp(line, header, sizeof header - 1) != 0) return false;
    const char *at = line;
    while ((at = strstr(at, name)) && at[-1] != ' ' && at[-1] != ';')
        at++;
    return at;
}

static void end_line(struct srv_multipart *m)
{
    if (m->n_line > 0 && m->line[m->n_line - 1] == '\r') m->n_line--;
    m->line[m->n_line] = 0;
    if (m->n_line == 0) {
        m->state = MULTIPART_DATA;
        m->found |= m->wanted;
    } else
        m->wanted |= !m->found && names_file(m->line);
    m->n_line = 0;
}

/* "--" behind a delimiter is the end of all, a line's end begins a part. */
static bool after_delimiter(struct srv_multipart *m, char c)
{
    m->wanted = false;
    if (c == '-' && m->n_matched == 1)
        m->state = MULTIPART_END;
    else if (c == '-')
        m->n_matched = 1;
    else if (c == '\n')
        m->state = MULTIPART_HEAD;
    else
        return c == '\r' || c == ' ' || c == '\t';
    return true;
}

/* ---- a part's bytes ---- */

/* Takes bytes up to the end of a delimiter, or all. Returns how many. */
static size_t take_data(
    struct srv_multipart *m, const uint8_t *bytes, size_t n, srv_multipart_out *out, void *ctx)
{
    size_t i = 0;
    while (i < n) {
        if (m->n_matched == 0) {
            const uint8_t *cr = memchr(bytes + i, '\r', n - i);
            size_t plain = cr ? (size_t)(cr - bytes) - i : n - i;
            if (m->wanted && plain > 0) out(ctx, bytes + i, plain);
            i += plain;
            if (!cr) break;
        }
        if (bytes[i] == (uint8_t)m->delimiter[m->n_matched]) {
            i++;
            if (++m->n_matched < m->n_delimiter) continue;
            m->n_matched = 0;
            m->state = MULTIPART_AFTER;
            break;
        }
        if (m->wanted) out(ctx, (const uint8_t *)m->delimiter, m->n_matched);
        m->n_matched = 0;
    }
    return i;
}

bool srv_multipart_push(
    struct srv_multipart *m, const uint8_t *bytes, size_t n, srv_multipart_out *out, void *ctx)
{
    for (size_t i = 0; i < n;) {
        switch (m->state) {
        case MULTIPART_DATA: i += take_data(m, bytes + i, n - i, out, ctx); break;
        case MULTIPART_AFTER:
            if (!after_delimiter(m, (char)bytes[i++])) return false;
            break;
        case MULTIPART_HEAD:
            if (bytes[i] == '\n')
                end_line(m);
            else if (m->n_line < sizeof m->line - 1)
                m->line[m->n_line++] = (char)bytes[i];
            i++;
            break;
        case MULTIPART_END: return true;
        }
    }
    return true;
}

bool srv_multipart_whole(const struct srv_multipart *m)
{
    return m->state == MULTIPART_END && m->found;
}
