/* One-shot jobs behind server/job.h: their answers are the command's bytes, what they refuse is refused
 * with a status and a sentence, and cancelling, holding and crowding change nothing else. */
#include "server/job.h"
#include "server/stream.h"
#include "tests/check.h"

#include <fcntl.h>
#include <math.h>
#include <sndfile.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODEL "weights/tessera-24k-speech-int8.safetensors"

enum { RATE = 24000, N_SAMPLES = 5 * RATE + 77, MAX_JOBS = 24, CODEBOOKS = 4 };

static struct srv_server server;
static char folder[] = "/tmp/tessera-jobs-XXXXXX";

/* ---- files ---- */

static const char *path_of(const char *name)
{
    static char path[4][256];
    static int i;
    i = (i + 1) % 4;
    snprintf(path[i], sizeof path[i], "%s/%s", folder, name);
    return path[i];
}

static void put_file(const char *name, const void *bytes, size_t n)
{
    FILE *file = fopen(path_of(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    fclose(file);
}

static uint8_t *get_file(const char *name, size_t *n)
{
    struct stat st;
    FILE *file = fopen(path_of(name), "rb");
    if (!file || fstat(fileno(file), &st) != 0) fail_msg("no file %s", name);
    *n = (size_t)st.st_size;
    uint8_t *bytes = malloc(*n + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *n, file), *n);
    fclose(file);
    return bytes;
}

/* `from` cut to n bytes. */
static void cut_file(const char *name, const char *from, size_t n)
{
    size_t n_all;
    uint8_t *bytes = get_file(from, &n_all);
    assert_true(n < n_all);
    put_file(name, bytes, n);
    free(bytes);
}

static void command(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void command(const char *format, ...)
{
    char words[512], line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(words, sizeof words, format, args);
    snprintf(line, sizeof line, TESS_COMMAND " %s -q -m " MODEL, words);
    va_end(args);
    if (system(line) != 0) fail_msg("%s", line);
}

/* The same speech as sounds of several kinds. */
static void write_sound(const char *name, int format, int rate, int channels)
{
    SF_INFO in_info = {0}, info = {.format = format, .samplerate = rate, .channels = channels};
    SNDFILE *in = sf_open("tests/data/speech.flac", SFM_READ, &in_info);
    SNDFILE *out = sf_open(path_of(name), SFM_WRITE, &info);
    assert_non_null(in);
    assert_non_null(out);
    for (int i = 0; i < N_SAMPLES; i++) {
        float frame[2] = {0};
        assert_int_equal(sf_readf_float(in, frame, 1), 1);
        frame[1] = frame[0] / 2;
        assert_int_equal(sf_writef_float(out, frame, 1), 1);
    }
    sf_close(in);
    sf_close(out);
}

/* ---- a job and what it answers ---- */

struct answer {
    struct srv_job *job;
    int status; /* 0 while it goes on */
    char type[64], why[256];
    bool has_head;
    int64_t n_told;
    uint8_t *bytes;
    size_t n, hold_at, cancel_at; /* where to hold or cancel; 0 = nowhere */
};

static void on_head(void *ctx, const char *content_type, int64_t n_bytes)
{
    struct answer *a = ctx;
    assert_false(a->has_head);
    a->has_head = true;
    a->n_told = n_bytes;
    snprintf(a->type, sizeof a->type, "%s", content_type);
}

static void on_bytes(void *ctx, const uint8_t *bytes, size_t n)
{
    struct answer *a = ctx;
    assert_true(a->has_head && a->status == 0);
    assert_non_null(a->job);
    a->bytes = realloc(a->bytes, a->n + n);
    assert_non_null(a->bytes);
    memcpy(a->bytes + a->n, bytes, n);
    a->n += n;
    if (a->hold_at > 0 && a->n >= a->hold_at) srv_job_hold(a->job, true);
    if (a->cancel_at > 0 && a->n >= a->cancel_at) {
        srv_job_cancel(a->job);
        a->job = NULL;
    }
}

static void on_ended(void *ctx, int status, const char *why)
{
    struct answer *a = ctx;
    assert_int_equal(a->status, 0);
    assert_non_null(a->job);
    a->status = status;
    if (status != 200) snprintf(a->why, sizeof a->why, "%s", why);
    a->job = NULL;
}

static const struct srv_answer calls = {on_head, on_bytes, on_ended};

/* Begins a job; a request that is refused at once has its status then. */
static void ask(struct answer *a,
                enum srv_direction direction,
                const char *body,
                const char *query,
                const char *accept)
{
    struct srv_job_request request = {direction, query, accept};
    struct tess_why why = {""};
    int status = srv_job_create(&a->job, &server, &request, &calls, a, &why);
    if (status != 200) {
        assert_null(a->job);
        a->status = status;
        snprintf(a->why, sizeof a->why, "%s", why.text);
        return;
    }
    int fd = open(path_of(body), O_RDONLY | O_CLOEXEC);
    if (fd < 0) fail_msg("no body %s", body);
    srv_job_start(a->job, fd);
}

static void wait_for(const struct answer *a)
{
    while (a->status == 0)
        uv_run(server.loop, UV_RUN_ONCE);
}

static void wait_for_all(void)
{
    while (server.jobs.n > 0 || server.n_streams > 0)
        uv_run(server.loop, UV_RUN_ONCE);
}

static void check_equal(const struct answer *a, const char *type, const char *expected)
{
    size_t n;
    uint8_t *bytes = get_file(expected, &n);
    if (a->status != 200) fail_msg("%s: %d %s", expected, a->status, a->why);
    assert_string_equal(a->type, type);
    if (a->n != n || memcmp(a->bytes, bytes, n) != 0)
        fail_msg("%s: other bytes, %zu for %zu", expected, a->n, n);
    if (a->n_told >= 0) assert_int_equal(a->n_told, n);
    free(bytes);
}

static void drop(struct answer *a)
{
    free(a->bytes);
    *a = (struct answer){0};
}

/* ---- what is answered ---- */

static const struct good {
    enum srv_direction direction;
    const char *body, *query, *accept, *type, *expected;
} goods[] = {
    {SRV_ENCODE, "a.wav",  "",                                  NULL,                                        "application/json",   "a.json"      },
    {SRV_ENCODE, "a.wav",  NULL,                                "text/html, */*;q=0.1",                      "application/json",   "a.json"      },
    {SRV_ENCODE, "a.flac", "layout=KT",                         "application/*",                             "application/json",   "a.json"      },
    {SRV_ENCODE, "a.wav",  "codebooks=2",                       "application/x-npy",                         "application/x-npy",  "a2.npy"      },
    {SRV_ENCODE, "a.wav",  "model=tessera-24k-speech-int8",     "application/x-npy",                         "application/x-npy",
     "a.npy"                                                                                                                                     },
    {SRV_ENCODE, "a.flac", "",                                  "application/x-tess",                        "application/x-tess", "a.tess"      },
    {SRV_ENCODE, "b.wav",  "",                                  "application/json;q=0.5,application/x-tess", "application/x-tess",
     "b.tess"                                                                                                                                    },
    {SRV_ENCODE, "a.ogg",  "",                                  "application/x-tess",                        "application/x-tess", "ogg.tess"    },
    {SRV_ENCODE, "a.raw",  "raw=s16le",                         "application/x-tess",                        "application/x-tess", "a.tess"      },
    {SRV_ENCODE, "b.raw",  "raw=f32%6Ce&rate=44100&channels=2", "application/x-tess",
     "application/x-tess",                                                                                                         "b.tess"      },
    {SRV_DECODE, "a.tess", "",                                  "audio/*",                                   "audio/wav",          "a.tess.wav"  },
    {SRV_DECODE, "a.npy",  "model=tessera-24k-speech-int8",     NULL,                                        "audio/wav",          "a.npy.wav"   },
    {SRV_DECODE, "a2.npy", "",                                  "*/*",                                       "audio/wav",          "a2.npy.wav"  },
    {SRV_DECODE, "a.json", "",                                  "audio/wav",                                 "audio/wav",          "a.tess.wav"  },
    {SRV_DECODE, "b.tess", "rate=source&float",                 "",                                          "audio/wav",          "b.source.wav"},
    {SRV_DECODE, "b.tess", "rate=48000&float=0",                "",                                          "audio/wav",          "b.48k.wav"   },
};
enum { N_GOODS = sizeof goods / sizeof goods[0] };

static void test_the_commands_bytes(void **state)
{
    (void)state;
    for (int i = 0; i < N_GOODS; i++) {
        const struct good *g = &goods[i];
        struct answer a = {0};
        ask(&a, g->direction, g->body, g->query, g->accept);
        wait_for(&a);
        check_equal(&a, g->type, g->expected);
        drop(&a);
    }
    wait_for_all();
}

/* The other layouts say the same codes: they decode to the same sound. */
static void test_layouts(void **state)
{
    (void)state;
    static const char *const layouts[] = {"layout=TK", "layout=flat"};
    for (int i = 0; i < 2; i++) {
        struct answer a = {0}, b = {0};
        ask(&a, SRV_ENCODE, "a.wav", layouts[i], "application/json");
        wait_for(&a);
        assert_int_equal(a.status, 200);
        put_file("layout.json", a.bytes, a.n);
        ask(&b, SRV_DECODE, "layout.json", "", "");
        wait_for(&b);
        check_equal(&b, "audio/wav", "a.tess.wav");
        drop(&a);
        drop(&b);
    }
}

static void test_many_at_once(void **state)
{
    (void)state;
    struct answer a[MAX_JOBS + 1] = {0};
    uint64_t n_done = server.jobs.n_done;
    for (int i = 0; i <= MAX_JOBS; i++) {
        const struct good *g = &goods[i % N_GOODS];
        ask(&a[i], g->direction, g->body, g->query, g->accept);
    }
    assert_int_equal(a[MAX_JOBS].status, 503);
    assert_non_null(strstr(a[MAX_JOBS].why, "--max-jobs"));
    assert_int_equal(server.jobs.n, MAX_JOBS);
    assert_int_equal(server.jobs.n_running + server.jobs.n_waiting, MAX_JOBS);
    assert_true(server.jobs.n_waiting > 0);
    for (int i = 0; i < MAX_JOBS; i++) {
        wait_for(&a[i]);
        check_equal(&a[i], goods[i % N_GOODS].type, goods[i % N_GOODS].expected);
        drop(&a[i]);
    }
    wait_for_all();
    assert_int_equal(server.jobs.n_done, n_done + MAX_JOBS);
    assert_int_equal(server.jobs.n_running + server.jobs.n_waiting, 0);
}

/* ---- what is not ---- */

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        enum srv_direction direction;
        const char *body, *query, *accept;
        int status;
        const char *why;
    } bad[] = {
        {SRV_ENCODE, "empty",        "",                    NULL,                 400, "empty"            },
        {SRV_ENCODE, "empty",        "raw=s16le",           NULL,                 400, "empty"            },
        {SRV_ENCODE, "text",         "",                    NULL,                 400, "not a sound file" },
        {SRV_ENCODE, "cut.flac",     "",                    NULL,                 400, "sound"            },
        {SRV_ENCODE, "cut.wav",      "",                    NULL,                 400, "ends after"       },
        {SRV_ENCODE, "odd.raw",      "raw=s16le",           NULL,                 400, "inside a sample"  },
        {SRV_ENCODE, "nan.raw",      "raw=f32le",           NULL,                 400, "NaN"              },
        {SRV_ENCODE, "nan.raw",      "raw=f32le",           "application/x-tess", 400, "NaN"              },
        {SRV_ENCODE, "long.raw",     "raw=s16le&rate=4000", NULL,                 413, "--max-audio"      },
        {SRV_ENCODE, "slow.wav",     "",                    NULL,                 400, "2000 Hz"          },
        {SRV_ENCODE, "a.wav",        "rate=8000",           NULL,                 400, "raw"              },
        {SRV_ENCODE, "a.wav",        "layout=KKT",          NULL,                 400, "layout=KKT"       },
        {SRV_ENCODE, "a.wav",        "colour=red",          NULL,                 400, "'colour'"         },
        {SRV_ENCODE, "a.wav",        "layout=%4",           NULL,                 400, "query"            },
        {SRV_ENCODE, "a.wav",        "codebooks=3",         NULL,                 400, "3 codebooks"      },
        {SRV_ENCODE, "a.wav",        "codebooks=0",         NULL,                 400, "codebooks=0"      },
        {SRV_ENCODE, "a.wav",        "model=mimi",          NULL,                 400, "'mimi'"           },
        {SRV_ENCODE, "a.wav",        "",                    "audio/wav",          406, "x-tess"           },
        {SRV_ENCODE, "a.wav",        "",                    "*/*;q=0",            406, "x-tess"           },
        {SRV_DECODE, "empty",        "",                    NULL,                 400, "empty"            },
        {SRV_DECODE, "text",         "",                    NULL,                 400, "not a .tess"      },
        {SRV_DECODE, "cut.tess",     "",                    NULL,                 400, ""                 },
        {SRV_DECODE, "cut.npy",      "",                    NULL,                 400, "too early"        },
        {SRV_DECODE, "range.npy",    "",                    NULL,                 400, "frame 376: code"  },
        {SRV_DECODE, "three.npy",    "",                    NULL,                 400, "3 codebooks"      },
        {SRV_DECODE, "deep.json",    "",                    NULL,                 400, "JSON"             },
        {SRV_DECODE, "large.json",   "",                    NULL,                 413, ".npy"             },
        {SRV_DECODE, "other.json",   "",                    NULL,                 400, "'other'"          },
        {SRV_DECODE, "samples.json", "",                    NULL,                 400, "number of samples"},
        {SRV_DECODE, "hour.npy",     "",                    NULL,                 413, "--max-audio"      },
        {SRV_DECODE, "a.npy",        "rate=source",         NULL,                 400, "source rate"      },
        {SRV_DECODE, "a.npy",        "rate=44.1",           NULL,                 400, "rate=44.1"        },
        {SRV_DECODE, "a.npy",        "codebooks=2",         NULL,                 400, "'codebooks'"      },
        {SRV_DECODE, "a.npy",        "",                    "text/plain",         406, "audio/wav"        },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct answer a = {0};
        ask(&a, bad[i].direction, bad[i].body, bad[i].query, bad[i].accept);
        wait_for(&a);
        if (a.status != bad[i].status || !strstr(a.why, bad[i].why))
            fail_msg("%s?%s: %d '%s'", bad[i].body, bad[i].query, a.status, a.why);
        drop(&a);
    }
    wait_for_all();
}

/* Our want of descriptors is no fault of the body. */
static void test_no_descriptor(void **state)
{
    (void)state;
    struct rlimit before, few;
    struct answer a = {0};
    int next = dup(0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = (rlim_t)next + 1; /* for the body */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    ask(&a, SRV_ENCODE, "a.wav", "", "");
    wait_for(&a);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(a.status, 500);
    drop(&a);
    wait_for_all();
}

/* A batch of files is short where frames cost much: one turn is the least there is. */
static void test_heavy_model(void **state)
{
    (void)state;
    enum { N = 4 };
    struct answer a[N] = {0};
    const struct srv_lane measured = {
        .config = {.model = srv_models_find(&server.models, NULL), .direction = SRV_ENCODE},
        .step_seconds = 1e6, /* more than the measures below can make small */
        .step_frames = SRV_TURN_FRAMES,
    };
    srv_scheduler_measured(server.scheduler, &measured);
    const struct srv_histogram before = server.metrics.batch_streams;
    for (int i = 0; i < N; i++)
        ask(&a[i], SRV_ENCODE, "a.wav", "", "application/x-tess");
    wait_for_all();
    const struct srv_histogram *after = &server.metrics.batch_streams;
    assert_true(after->count > before.count);
    assert_true(after->sum - before.sum == (double)(after->count - before.count));
    for (int i = 0; i < N; i++) {
        assert_int_equal(a[i].status, 200);
        drop(&a[i]);
    }
}

static void test_cancelled(void **state)
{
    (void)state;
    enum { N = 12 };
    struct answer a[N] = {0};
    for (int i = 0; i < N; i++) /* where it begins, waits, opens, and has answered a part */
        ask(&a[i], i % 2 ? SRV_DECODE : SRV_ENCODE, i % 2 ? "a.tess" : "a.wav", "",
            i % 2 ? "" : "application/x-tess");
    for (int i = 0; i < N; i++) {
        a[i].cancel_at = i < 6 ? 1 + 200 * (size_t)i : 0;
        if (i < 6) continue;
        if (i > 8) uv_run(server.loop, UV_RUN_NOWAIT);
        srv_job_cancel(a[i].job);
        a[i].job = NULL;
    }
    wait_for_all();
    for (int i = 0; i < N; i++) {
        assert_int_equal(a[i].status, 0);
        drop(&a[i]);
    }
    struct srv_job *job;
    struct srv_job_request request = {.direction = SRV_DECODE};
    struct tess_why why;
    assert_int_equal(srv_job_create(&job, &server, &request, &calls, NULL, &why), 200);
    srv_job_cancel(job); /* its body has not come */
    srv_job_cancel(NULL);
    wait_for_all();
    assert_int_equal(server.jobs.n_running + server.jobs.n_waiting, 0);
}

/* A job that is held stands still while others go past it, and then ends as if nothing had been. */
static void test_held(void **state)
{
    (void)state;
    static const struct good *const held[] = {&goods[0], &goods[3], &goods[5], &goods[10]};
    struct answer a[4] = {0};
    size_t n[4];
    for (int i = 0; i < 4; i++) {
        a[i].hold_at = 1;
        ask(&a[i], held[i]->direction, held[i]->body, held[i]->query, held[i]->accept);
    }
    for (int i = 0; i < 4; i++)
        while (a[i].n == 0)
            uv_run(server.loop, UV_RUN_ONCE);
    for (int turn = 0; turn < 2; turn++) { /* what was under way is over after the first */
        struct answer b = {0};
        ask(&b, SRV_DECODE, "b.tess", "rate=48000", "");
        wait_for(&b);
        check_equal(&b, "audio/wav", "b.48k.wav");
        drop(&b);
        for (int i = 0; i < 4; i++) {
            if (turn == 1) assert_int_equal(a[i].n, n[i]);
            n[i] = a[i].n;
            assert_int_equal(a[i].status, 0);
        }
    }
    for (int i = 0; i < 4; i++) {
        a[i].hold_at = 0;
        srv_job_hold(a[i].job, false);
        wait_for(&a[i]);
        check_equal(&a[i], held[i]->type, held[i]->expected);
        drop(&a[i]);
    }
    wait_for_all();
}

/* ---- the scene ---- */

static void write_npy(const char *name, const char *descr, long n_frames, int codebooks, int code)
{
    char head[128];
    FILE *file = fopen(path_of(name), "wb");
    assert_non_null(file);
    int n =
        snprintf(head, sizeof head, "{'descr': '%s', 'fortran_order': False, 'shape': (%ld, %d), }",
                 descr, n_frames, codebooks);
    fprintf(file, "\x93NUMPY\x01%c%c%c%-117s\n", 0, 118, 0, head);
    assert_true(n < 117);
    for (long i = 0; i < n_frames * codebooks; i++) {
        int v = i / codebooks == 376 ? code : 5;
        fputc(v & 255, file);
        fputc(v >> 8, file);
    }
    fclose(file);
}

static void write_bodies(void)
{
    static const float nan_sound[] = {0, 0, NAN, 0};
    char *text = malloc(2 << 20);
    assert_non_null(text);
    put_file("empty", "", 0);
    put_file("text", "no sound, and no codes\n", 23);
    put_file("nan.raw", nan_sound, sizeof nan_sound);
    put_file("odd.raw", "odd", 3);
    put_file("long.raw", "", 0); /* an hour and a second */
    assert_int_equal(truncate(path_of("long.raw"), 2 * 4000 * 3601), 0);
    write_sound("slow.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 2000, 1);
    cut_file("cut.flac", "a.flac", 30000);
    cut_file("cut.wav", "a.wav", 30000);
    cut_file("cut.tess", "a.tess", 1000);
    cut_file("cut.npy", "a.npy", 1001);
    write_npy("range.npy", "<u2", 400, CODEBOOKS, 1024);
    write_npy("three.npy", "<u2", 400, 3, 5);
    write_npy("hour.npy", "<u2", 75 * 3600 + 1, CODEBOOKS, 5);
    memset(text, '[', 10000);
    memcpy(text, "{\"audio_codes\":", 15);
    put_file("deep.json", text, 10000);
    memset(text, ' ', 2 << 20);
    text[0] = '{';
    put_file("large.json", text, 2 << 20);
    free(text);
    static const char other[] = "{\"model\":\"other\",\"audio_codes\":[[1],[1],[1],[1]]}",
                      samples[] = "{\"n_samples\":321,\"audio_codes\":[[1],[1],[1],[1]]}";
    put_file("other.json", other, sizeof other - 1);
    put_file("samples.json", samples, sizeof samples - 1);
}

static void write_expected(void)
{
    write_sound("a.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, RATE, 1);
    write_sound("a.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, RATE, 1);
    write_sound("a.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS, 32000, 1);
    write_sound("b.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 44100, 2);
    write_sound("a.raw", SF_FORMAT_RAW | SF_FORMAT_PCM_16 | SF_ENDIAN_LITTLE, RATE, 1);
    write_sound("b.raw", SF_FORMAT_RAW | SF_FORMAT_FLOAT | SF_ENDIAN_LITTLE, 44100, 2);
    static const char *const encoded[][2] = {
        {"a.wav",               "a.json"  },
        {"a.wav",               "a.npy"   },
        {"a.wav",               "a.tess"  },
        {"b.wav",               "b.tess"  },
        {"a.ogg",               "ogg.tess"},
        {"a.wav --codebooks 2", "a2.npy"  },
    };
    for (size_t i = 0; i < sizeof encoded / sizeof encoded[0]; i++)
        command("encode %s %s", path_of(encoded[i][0]), path_of(encoded[i][1]));
    static const char *const decoded[][3] = {
        {"",                      "a.tess", "a.tess.wav"  },
        {"",                      "a.npy",  "a.npy.wav"   },
        {"",                      "a2.npy", "a2.npy.wav"  },
        {"--rate source --float", "b.tess", "b.source.wav"},
        {"--rate 48000",          "b.tess", "b.48k.wav"   },
    };
    for (size_t i = 0; i < sizeof decoded / sizeof decoded[0]; i++)
        command("decode %s %s %s", decoded[i][0], path_of(decoded[i][1]), path_of(decoded[i][2]));
}

static int start(void **state)
{
    (void)state;
    char name[] = "test", *words[] = {name};
    setenv("TESSERA_MODEL", MODEL, 1);
    setenv("TESSERA_THREADS", "2", 1);
    setenv("TESSERA_MAX_JOBS", "24", 1);
    assert_non_null(mkdtemp(folder));
    write_expected();
    write_bodies();
    server.loop = uv_default_loop();
    assert_int_equal(srv_options_read(&server.options, 1, words), 0);
    srv_metrics_init(&server.metrics);
    assert_int_equal(srv_models_open(&server.models, &server.options.models), 0);
    return srv_scheduler_create(&server.scheduler, server.loop, &server.models,
                                (int)server.options.threads, srv_stream_done, &server);
}

static int stop(void **state)
{
    (void)state;
    char line[256];
    srv_scheduler_destroy(server.scheduler);
    uv_run(server.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(server.loop), 0);
    srv_models_close(&server.models);
    srv_options_free(&server.options);
    snprintf(line, sizeof line, "rm -r %s", folder);
    return system(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_commands_bytes), cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_many_at_once),       cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_cancelled),          cmocka_unit_test(test_held),
        cmocka_unit_test(test_no_descriptor),      cmocka_unit_test(test_heavy_model),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
