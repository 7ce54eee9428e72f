/* Pieces in, one write after another out. Two blocks take turns: one is written, the other filled. */
#include "server/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct srv_spool {
    uv_loop_t *loop;
    uv_fs_t write;
    int fd;
    struct block {
        uint8_t *bytes;
        size_t n, capacity;
    } now, next;
    size_t at; /* bytes of now that are written */
    bool writing, dead;
    srv_spool_done *done;
    void *ctx;
};

static int open_file(void)
{
    const char *folder = getenv("TMPDIR");
    char path[4096];
    snprintf(path, sizeof path, "%.4000s/tesserad-XXXXXX", folder && *folder ? folder : "/tmp");
    int fd = mkstemp(path);
    if (fd >= 0) fcntl(fd, F_SETFD, FD_CLOEXEC), unlink(path);
    return fd >= 0 ? fd : -errno;
}

int srv_spool_create(struct srv_spool **spool, uv_loop_t *loop, srv_spool_done *done, void *ctx)
{
    struct srv_spool *s = calloc(1, sizeof *s);
    if (!s) return -ENOMEM;
    *s = (struct srv_spool){.loop = loop, .fd = open_file(), .done = done, .ctx = ctx};
    s->write.data = s;
    if (s->fd >= 0) {
        *spool = s;
        return 0;
    }
    int error = s->fd;
    free(s);
    return error;
}

static void destroy(struct srv_spool *s)
{
    if (s->fd >= 0) close(s->fd);
    free(s->now.bytes);
    free(s->next.bytes);
    free(s);
}

static int write_more(struct srv_spool *s);

static void on_written(uv_fs_t *write)
{
    struct srv_spool *s = write->data;
    int error = write->result < 0 ? (int)write->result : 0;
    if (!error) s->at += (size_t)write->result;
    uv_fs_req_cleanup(write);
    s->writing = false;
    if (!s->dead && !error && srv_spool_busy(s)) error = write_more(s);
    if (s->dead)
        destroy(s);
    else if (!s->writing)
        s->done(s->ctx, error);
}

static int write_more(struct srv_spool *s)
{
    if (s->at == s->now.n) {
        struct block done = s->now;
        s->now = s->next;
        s->next = done;
        s->next.n = s->at = 0;
    }
    uv_buf_t buffer = uv_buf_init((char *)s->now.bytes + s->at, (unsigned)(s->now.n - s->at));
    int error = uv_fs_write(s->loop, &s->write, s->fd, &buffer, 1, -1, on_written);
    s->writing = !error;
    return error;
}

int srv_spool_put(struct srv_spool *s, const uint8_t *bytes, size_t n)
{
    struct block *b = &s->next;
    if (n == 0) return 0;
    if (b->n + n > b->capacity) {
        uint8_t *more = realloc(b->bytes, b->n + n);
        if (!more) return -ENOMEM;
        b->bytes = more;
        b->capacity = b->n + n;
    }
    memcpy(b->bytes + b->n, bytes, n);
    b->n += n;
    return s->writing ? 0 : write_more(s);
}

bool srv_spool_busy(const struct srv_spool *s)
{
    return s->writing || s->at < s->now.n || s->next.n > 0;
}

int srv_spool_take(struct srv_spool *s)
{
    int fd = s->fd;
    lseek(fd, 0, SEEK_SET);
    s->fd = -1;
    destroy(s);
    return fd;
}

void srv_spool_destroy(struct srv_spool *s)
{
    if (!s) return;
    s->dead = true;
    if (!s->writing) destroy(s);
}
