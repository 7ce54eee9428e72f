/* An item in, a file of codes and a line of JSON out: docs/batch.md says what stands in it. */
#include "batch_encode.h"

#include "find_model.h"
#include "report.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <sha2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct work {
    struct cli_encoding *e;
    const struct cli_item *item;
    struct cli_output out;
    struct cli_codes_out codes_out;
    SHA2_CTX sha;
    int64_t n_told; /* samples */
    cli_step *step;
    void *ctx;
};

/* Opens the sound, or the part of it that is wanted. A pipe or device would have to be waited for. */
static int open_sound(struct cli_encoding *e, const struct cli_item *item)
{
    struct stat st;
    if (stat(item->path, &st) < 0)
        return cli_fail(CLI_FAILED, "%s: %s", item->path, strerror(errno));
    if (!S_ISREG(st.st_mode)) return cli_fail(CLI_FAILED, "%s: not a regular file", item->path);
    int exit_code = cli_encoding_start(e, item->path);
    const bool is_part = item->offset > 0 || item->duration >= 0;
    if (exit_code || !is_part) return exit_code;
    const int rate = e->sound.audio.pcm.rate;
    return cli_audio_in_part(&e->sound.audio, llrint(item->offset * rate),
                             item->duration < 0 ? INT64_MAX : llrint(item->duration * rate));
}

static int open_output(struct cli_output *out,
                       const struct cli_layout *l,
                       const struct cli_item *item,
                       bool force)
{
    const struct cli_path codes =
        cli_layout_file(l, cli_layout_codes(l, item->id, item->place).text);
    struct stat st;
    const bool exists = lstat(codes.text, &st) == 0;
    if (!l->shard && cli_layout_is_taken(item->id))
        return cli_fail(CLI_FAILED, "%s: is to lie below a file of the batch itself", codes.text);
    if (exists && S_ISDIR(st.st_mode))
        return cli_fail(CLI_FAILED, "%s: %s", codes.text, strerror(EISDIR));
    if (exists && !force)
        return cli_fail(CLI_FAILED, "%s: exists; --resume overwrites it", codes.text);
    return cli_output_open_apart(out, cli_layout_item(l, item->id, item->place).text, force);
}

/* Whether the names of other items leave no room for this one's; else it is the disk. */
static bool is_in_the_way(int error)
{
    return error == EISDIR || error == ENOTDIR || error == EEXIST || error == ENAMETOOLONG;
}

static void hash(SHA2_CTX *sha, const struct cli_frames *frames, int codebooks)
{
    uint8_t block[4096];
    const size_t n = frames->n * (size_t)codebooks;
    for (size_t i = 0, fill = 0; i < n; i++) {
        block[fill++] = (uint8_t)frames->codes[i];
        block[fill++] = (uint8_t)(frames->codes[i] >> 8);
        if (fill < sizeof block && i + 1 < n) continue;
        SHA256Update(sha, block, fill);
        fill = 0;
    }
}

static int take(void *ctx, const struct cli_frames *frames)
{
    struct work *w = ctx;
    hash(&w->sha, frames, w->e->codebooks);
    int exit_code = w->step(w->ctx, w->e->n_samples - w->n_told);
    w->n_told = w->e->n_samples;
    return exit_code ? exit_code : cli_codes_out_put(&w->codes_out, frames);
}

/* To the end of the sound and of the file. */
static int encode(struct work *w, struct cli_coded *coded)
{
    const struct cli_audio_in *audio = &w->e->sound.audio;
    int64_t n_source;
    int exit_code = cli_encoding_run(w->e, take, w);
    if (exit_code) return exit_code;
    if (audio->at < audio->n_samples)
        return cli_fail(CLI_FAILED, "%s: ends early, after %lld of %lld samples",
                        w->e->sound.in.name, (long long)audio->at, (long long)audio->n_samples);
    cli_encoding_covered(w->e, &n_source, &coded->n_samples);
    if (coded->n_samples == 0)
        return cli_fail(CLI_FAILED, "%s: too short for a frame", w->e->sound.in.name);
    coded->n_frames = w->e->n_frames;
    exit_code = cli_codes_out_finish(&w->codes_out, n_source, coded->n_samples);
    coded->n_bytes = (int64_t)w->out.n_bytes;
    return exit_code ? exit_code : cli_output_commit(&w->out);
}

static bool add_seconds(cJSON *root, const char *member, double seconds)
{
    char text[32];
    snprintf(text, sizeof text, "%.6f", seconds);
    return cJSON_AddRawToObject(root, member, text);
}

static int common_divisor(int a, int b)
{
    return b ? common_divisor(b, a % b) : a;
}

static bool
add_members(cJSON *root, struct work *w, const struct cli_layout *l, const struct cli_coded *coded)
{
    const struct tess_model_info *info = w->e->info;
    const struct cli_item *item = w->item;
    const struct cli_family_text option = cli_options_family_text(info, w->e->option);
    const int divisor = common_divisor(info->sample_rate, info->hop);
    char key[24];
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256Final(digest, &w->sha);
    snprintf(key, sizeof key, "%09lld", (long long)item->place);
    return root && cJSON_AddStringToObject(root, "id", item->id) &&
           cJSON_AddStringToObject(root, "audio", item->audio) &&
           cJSON_AddStringToObject(root, "codes",
                                   cli_layout_codes(l, item->id, item->place).text) &&
           (!l->shard || cJSON_AddStringToObject(root, "key", key)) &&
           add_seconds(root, "offset", item->offset) &&
           cJSON_AddNumberToObject(root, "n_samples", (double)coded->n_samples) &&
           cJSON_AddNumberToObject(root, "sample_rate", info->sample_rate) &&
           cJSON_AddNumberToObject(root, "n_frames", (double)coded->n_frames) &&
           cJSON_AddNumberToObject(root, "n_codebooks", w->e->codebooks) &&
           cJSON_AddNumberToObject(root, "codebook_size", info->entries) &&
           cJSON_AddNumberToObject(root, "frame_rate_num", info->sample_rate / divisor) &&
           cJSON_AddNumberToObject(root, "frame_rate_den", info->hop / divisor) &&
           cJSON_AddStringToObject(root, "layout", "TK") &&
           cJSON_AddStringToObject(root, "dtype", info->code_min < 0 ? "i16" : "u16") &&
           cJSON_AddStringToObject(root, "model", info->name) &&
           cJSON_AddStringToObject(root, "model_sha256", cli_sha256(info->sha256).text) &&
           (!option.text[0] || cJSON_AddStringToObject(root, "option", option.text)) &&
           cJSON_AddStringToObject(root, "token_sha256", cli_sha256(digest).text) &&
           add_seconds(root, "duration", (double)coded->n_samples / info->sample_rate) &&
           cJSON_AddNumberToObject(root, "n_bytes", (double)coded->n_bytes) &&
           (!item->text || cJSON_AddStringToObject(root, "text", item->text)) &&
           (!item->speaker || cJSON_AddStringToObject(root, "speaker", item->speaker));
}

static int make_line(struct work *w, const struct cli_layout *l, struct cli_coded *coded)
{
    cJSON *root = cJSON_CreateObject();
    if (add_members(root, w, l, coded)) coded->line = cJSON_PrintUnformatted(root);
    cJSON_Delete(root);
    if (!coded->line) return cli_fail_memory();
    coded->n_line = strlen(coded->line) + 1;
    coded->line[coded->n_line - 1] = '\n'; /* no text any more, but n_line bytes */
    return CLI_OK;
}

int cli_batch_encode(struct cli_encoding *e,
                     const struct cli_layout *layout,
                     const struct cli_item *item,
                     bool force,
                     cli_step *step,
                     void *ctx,
                     struct cli_coded *coded)
{
    struct work w = {.e = e, .item = item, .out.fd = -1, .step = step, .ctx = ctx};
    *coded = (struct cli_coded){0};
    SHA256Init(&w.sha);
    int exit_code = open_sound(e, item);
    if (!exit_code) exit_code = open_output(&w.out, layout, item, force);
    if (!exit_code)
        exit_code = cli_codes_out_open(&w.codes_out, layout->codes, &w.out, e->info, e->codebooks,
                                       e->sound.audio.pcm.rate);
    if (!exit_code) exit_code = encode(&w, coded);
    if (exit_code == CLI_IO && !layout->shard && is_in_the_way(w.out.error)) exit_code = CLI_FAILED;
    cli_codes_out_close(&w.codes_out);
    cli_output_close(&w.out);
    cli_encoding_stop(e);
    return exit_code ? exit_code : make_line(&w, layout, coded);
}
