/* Tessera: speech to tokens and tokens back to speech, live, on ordinary CPUs.
 *
 * This header is the library's only door. What it holds, in the order sound flows:
 *
 *     model      opened once, immutable, shared by all threads
 *     worker     one caller's scratch memory and helper threads
 *     encoder    a stream: PCM in, codes out      decoder   a stream: codes in, PCM out
 *     resampler  any rate to the model's          ring      samples between two threads
 *     writer     codes to a .tess file            reader    and back
 *
 * Errors. A call that can fail returns a negative TESS_E_... code; zero and above is success or
 * a count, and zero frames means "more input needed", never failure. Where a reason can be told,
 * the call takes a `struct tess_why *` (or NULL) and writes one line there. The library prints
 * nothing, never exits, and changes no global state. A _create that fails sets its pointer to NULL;
 * a _destroy cannot fail and takes NULL, too.
 *
 * Threads. A model is for any number of threads at once, a ring for two; a worker, a stream, a
 * resampler, a writer and a reader are each for one thread at a time. Equal bits need C's usual
 * floating-point arithmetic: rounding to nearest, subnormals kept (no flush-to-zero) in the thread
 * that calls, and in the one that creates a worker.
 *
 * Shapes follow memory, last index fastest: PCM [N][channels], latents [T][D], codes [T][K].
 * Samples are float, full scale is 1.0. Compiles as C99 and C++11. */
#ifndef TESSERA_H
#define TESSERA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TESS_API __attribute__((visibility("default")))
#else
#define TESS_API
#endif

#define TESS_VERSION "0.1.0"
#define TESS_ABI     0

/** The library's version, as "major.minor.patch". Cannot fail, any thread. */
TESS_API const char *tess_version(void);

/** Number of the binary interface; a program built against another number must be rebuilt.
 *  Cannot fail, any thread. */
TESS_API int tess_abi(void);

/* ---- errors ------------------------------------------------------------------------------ */

#define TESS_ERRORS(X)                                                                             \
    X(NOMEM, -1, "out of memory")                                                                  \
    X(ARGUMENT, -2, "argument out of range")                                                       \
    X(IO, -3, "reading or writing failed")                                                         \
    X(FORMAT, -4, "not a file of the expected format")                                             \
    X(TRUNCATED, -5, "the file ends too early")                                                    \
    X(CHECKSUM, -6, "the checksum does not match")                                                 \
    X(MODEL, -7, "the model file is not valid")                                                    \
    X(FAMILY, -8, "unknown model family")                                                          \
    X(MISMATCH, -9, "made by or for another model")                                                \
    X(NONFINITE, -10, "a sample is NaN or infinite")                                               \
    X(SPACE, -11, "the output buffer is too small")                                                \
    X(ENDED, -12, "the stream has ended: reset it first")                                          \
    X(UNSUPPORTED, -13, "this model or machine cannot do that")                                    \
    X(CODE, -14, "a code is outside its codebook")

enum tess_error {
    TESS_OK = 0,
#define TESS_ERROR_ENUM(name, number, text) TESS_E_##name = number,
    TESS_ERRORS(TESS_ERROR_ENUM)
#undef TESS_ERROR_ENUM
};

/** One sentence for an error code, without a full stop; "unknown error" for others.
 *  Cannot fail, any thread; the text is static. */
TESS_API const char *tess_strerror(int error);

/** Where a call writes why it failed: one line, always terminated, naming the input and the
 *  limit. Untouched on success. */
struct tess_why {
    char text[256];
};

struct tess_tag {
    const char *key, *value; /**< UTF-8; 1..255 and 0..4096 bytes */
};

/* ---- memory ------------------------------------------------------------------------------ */

/** Where the library takes its memory. `alloc` returns `bytes` bytes aligned for any type, or
 *  NULL; `release` takes what alloc gave, or NULL. Both may be called from several threads. A
 *  NULL `struct tess_allocator *` means malloc and free, and pages of their own for blocks of 2 MiB and
 *  more; a given one is copied. */
struct tess_allocator {
    void *(*alloc)(void *ctx, size_t bytes);
    void (*release)(void *ctx, void *ptr);
    void *ctx;
};

/* ---- kernels ----------------------------------------------------------------------------- */

/** Name of set i of the kernels that this CPU can run, from "scalar" (i = 0, the definition)
 *  to the fastest; NULL past the last. All give the same bits. Cannot fail, any thread. */
TESS_API const char *tess_kernel_name(int i);

/* ---- model ------------------------------------------------------------------------------- */

struct tess_model;

/** What a model is opened for: with one direction alone, the other's weights are checked but not kept
 *  (half the memory), and its streams cannot be made (UNSUPPORTED). */
enum tess_use { TESS_FOR_BOTH, TESS_FOR_ENCODING, TESS_FOR_DECODING };

/** How to open a model. Set `size` to sizeof(struct tess_model_options) and the rest to zero. */
struct tess_model_options {
    size_t size;
    const struct tess_allocator *allocator; /**< copied; NULL = malloc */
    const char *kernel; /**< a tess_kernel_name; NULL = TESSERA_KERNEL if set, else the fastest */
    enum tess_use use;
};

enum tess_capability {
    TESS_LIVE,       /**< streams without look-ahead */
    TESS_DELAYED,    /**< streams with the stated delay */
    TESS_WHOLE_CLIP, /**< needs the whole clip before its first output */
};

/** What a model is. All numbers are at the model's own rate. */
struct tess_model_info {
    size_t size; /**< set by the caller: sizeof(struct tess_model_info) */
    char name[64];
    char family[32];
    char licence[64];
    char arithmetic[16];      /**< "fp32", or "int8": linear layers in 8 bits */
    char kernel[16];          /**< the kernels in use, a tess_kernel_name */
    unsigned char sha256[32]; /**< of the file; its first 8 bytes are the fingerprint in .tess */
    int sample_rate;          /**< Hz */
    int channels;             /**< PCM is [N][channels], interleaved */
    int hop;                  /**< samples a frame */
    int codebooks;            /**< K at full rate: columns of a frame's codes */
    int codebooks_default;
    uint64_t codebooks_legal; /**< bit K-1 is set where K columns are a rate of this model; 0 = all
                                   columns are its only one */
    int entries;              /**< codes run from code_min to code_min + entries - 1 */
    int code_min;             /**< 0; below 0 the uint16_t codes are to be read as int16_t */
    enum tess_capability encode, decode;
    int encode_delay;    /**< samples a code waits for after the end of its hop, at most */
    int decode_delay;    /**< samples a decoder holds back until later frames or the end, at most */
    int64_t min_samples; /**< WHOLE_CLIP: a shorter clip is encoded filled up with zeros */
    int64_t max_samples; /**< WHOLE_CLIP: the longest clip it encodes; else 0, any length */
    char option[32];     /**< name of an option of the family ("bandwidth_id"); "" = it has none */
    int option_max;      /**< its values are 0..option_max */
    int drops_partial;   /**< a last hop that is not full gives no frame (else it is filled) */
    int segment;         /**< samples that are coded as a clip by themselves, with a scale of their
                              own: the recording is cut into such segments; 0 = it is not */
    int segment_stride;  /**< samples from one segment's start to the next one's */
    uint64_t parameters;
    double encode_flops, decode_flops; /**< of the matrix products, a second of audio */
};

/** Opens a model file (safetensors; every tensor is checked, SHA-256 taken). path is UTF-8; options
 *  may be NULL. On success *model is set and must go to tess_model_close. The weights are copied:
 *  afterwards the file may change or go. While the call runs the file is mapped; whoever cuts it
 *  short then raises SIGBUS here. Reading the header takes memory from malloc whatever the options,
 *  and so does FFTW.
 *  Errors: IO, FORMAT, TRUNCATED, MODEL (a tensor missing, misshapen, unused, not finite), FAMILY,
 *  UNSUPPORTED (kernel), ARGUMENT (unknown size or use of the options), NOMEM; *model is then NULL.
 *  Any thread, but not while the program itself plans with FFTW, whose planner is global. */
TESS_API int tess_model_open(struct tess_model **model,
                             const char *path,
                             const struct tess_model_options *options,
                             struct tess_why *why);

/** As tess_model_open, from data [n_bytes], which may be freed when the call returns. */
TESS_API int tess_model_open_memory(struct tess_model **model,
                                    const void *data,
                                    size_t n_bytes,
                                    const struct tess_model_options *options,
                                    struct tess_why *why);

/** Frees a model. Its workers and streams must be gone. NULL is allowed. FFTW: as above. */
TESS_API void tess_model_close(struct tess_model *model);

/** Fills *info (its `size` set by the caller). Errors: ARGUMENT (unknown size). Any thread. */
TESS_API int tess_model_get_info(const struct tess_model *model, struct tess_model_info *info);

/** Samples per channel that n_frames (0..2^40) decode to, from a recording's first to its last:
 *  n_frames * hop, of a WHOLE_CLIP decoder encode_delay less (what the encoder padded), of segments
 *  less where they overlap. Cannot fail, any thread. */
TESS_API int64_t tess_model_samples(const struct tess_model *model, int64_t n_frames);

/* ---- worker ------------------------------------------------------------------------------ */

struct tess_worker;

/** Set `size` to sizeof(struct tess_worker_options) and what you do not care for to zero. */
struct tess_worker_options {
    size_t size;
    int threads; /**< threads that share a call's work, the caller's included; 0 = 1, at most 64 */
    int max_streams; /**< streams a call may name; 0 = 1, at most 1024 */
    int profile;     /**< not 0: measure the time of each stage (tess_worker_get_profile) */
};

/** One caller's scratch memory (a few MB; of a WHOLE_CLIP model as much as its longest clip took)
 *  and helper threads, which sleep between calls. Borrows the model, takes its allocator; options may
 *  be NULL. A worker serves one call at a time. How many threads it has changes no bit of the
 *  result. Does not outlive a fork: in the child its threads are missing, and a call, even its
 *  destruction, would wait for them. Errors: ARGUMENT (a number out of its range, unknown size),
 *  NOMEM. Any thread. */
TESS_API int tess_worker_create(struct tess_worker **worker,
                                const struct tess_model *model,
                                const struct tess_worker_options *options);

/** Frees a worker and ends its threads. NULL is allowed. */
TESS_API void tess_worker_destroy(struct tess_worker *worker);

/** Seconds that the caller spent in each stage since the worker was created, zeros without
 *  `profile`. */
struct tess_profile {
    double analysis;  /**< samples to features */
    double encoder;   /**< features to latents */
    double quantizer; /**< latents to codes */
    double lookup;    /**< codes to latents */
    double decoder;   /**< latents to spectra */
    double synthesis; /**< spectra to samples */
};

/** Fills *profile. Cannot fail; between the worker's calls. */
TESS_API void tess_worker_get_profile(const struct tess_worker *worker,
                                      struct tess_profile *profile);

/* ---- streams ----------------------------------------------------------------------------- */

/* An encoder or decoder is one flat block of bytes without pointers: it may be copied with memcpy
 * (a snapshot), moved, sent to another process that runs the same model, or written over by such a
 * copy. Its bytes are trusted: a block that this library did not write is undefined behaviour. Its
 * size is constant, whatever has passed through it; a copy has the same byte order. */
struct tess_encoder;
struct tess_decoder;

/** Set `size` to sizeof(struct tess_stream_options) and the rest to zero for the defaults. */
struct tess_stream_options {
    size_t size;
    int codebooks; /**< columns K of a frame's codes, a prefix of all; 0 = the model's default */
    int option;    /**< the value of the model's own option, 0..option_max of its info */
};

/** Bytes of an encoder of this model. Cannot fail, any thread. */
TESS_API size_t tess_encoder_size(const struct tess_model *model);

/** Makes an encoder in `mem`, tess_encoder_size bytes aligned to 8, which the caller keeps; options
 *  may be NULL. Errors: ARGUMENT (not a legal number of codebooks, an option out of its range,
 *  unknown size), UNSUPPORTED (the model was opened for decoding). Any thread. */
TESS_API int tess_encoder_init(struct tess_encoder *mem,
                               const struct tess_model *model,
                               const struct tess_stream_options *options);

/** tess_encoder_init in memory of the model's allocator; free it with tess_encoder_destroy, which
 *  takes the same model. Errors: those, and NOMEM. */
TESS_API int tess_encoder_create(struct tess_encoder **encoder,
                                 const struct tess_model *model,
                                 const struct tess_stream_options *options);
TESS_API void tess_encoder_destroy(struct tess_encoder *encoder, const struct tess_model *model);

/** Back to the start of a new recording, same options; also after the end. Cannot fail. */
TESS_API void tess_encoder_reset(struct tess_encoder *encoder);

/** Frames that a push of n_samples (per channel) gives at least; at the end, all of
 *  ceil(samples / hop) (floor, where partial hops are dropped) have come, of each segment if there are
 *  segments. Cannot fail. */
TESS_API int64_t tess_encoder_frames(const struct tess_encoder *encoder, size_t n_samples);

/** Frames that a push of n_samples gives at most, whatever came before it and if it is the last.
 *  Cannot fail, any thread. */
TESS_API int64_t tess_encoder_bound(const struct tess_model *model, size_t n_samples);

/** One stream's share of a call. */
struct tess_encode_job {
    struct tess_encoder *encoder; /**< each stream at most once in a call */
    const float *pcm;             /**< [n_samples][channels], any number, finite */
    size_t n_samples;
    int end;         /**< not 0: these are the last samples; a partial hop is filled with zeros */
    uint16_t *codes; /**< [capacity][K], borrowed for the call */
    size_t capacity; /**< frames that fit */
    float *scales;   /**< [scale_capacity] where there are segments, one for each whose frames are
                           written; NULL = not wanted */
    size_t scale_capacity; /**< n_frames / (segment / hop) + 1 is enough */
    int64_t n_frames;      /**< out: frames written */
    int64_t n_scales;      /**< out: scales written */
    int error; /**< out: 0, or NONFINITE, SPACE, ENDED, MISMATCH, ARGUMENT (too many samples), or for
                           a WHOLE_CLIP model UNSUPPORTED, NOMEM, with segments NOMEM: nothing was
                           consumed */
};

/** Encodes for several streams at once: their frames run as one batch, and no stream's codes
 *  depend on its company, on how its samples were split over calls, on threads or on the CPU.
 *  A job that fails does not touch the others. Allocates nothing, but for a WHOLE_CLIP model, whose
 *  only job of a stream holds the whole clip with `end` set (else UNSUPPORTED), at most max_samples
 *  (else ARGUMENT), and for a worker's first segment.
 *  Returns 0 when every job succeeded, else the first failed job's error; ARGUMENT when n_jobs is
 *  not 0..max_streams (then nothing ran). */
TESS_API int tess_encode(struct tess_worker *worker, struct tess_encode_job *jobs, int n_jobs);

/** One stream's push: a tess_encode of one job. pcm [n_samples][channels], codes [capacity][K].
 *  Returns the frames written or an error. */
TESS_API int64_t tess_encoder_push(struct tess_worker *worker,
                                   struct tess_encoder *encoder,
                                   const float *pcm,
                                   size_t n_samples,
                                   uint16_t *codes,
                                   size_t capacity);

/** Ends the stream: what is still held back comes out (of a live model at most one frame; none
 *  after whole hops). Afterwards only a reset is allowed. Returns the frames written or an error. */
TESS_API int64_t tess_encoder_flush(struct tess_worker *worker,
                                    struct tess_encoder *encoder,
                                    uint16_t *codes,
                                    size_t capacity);

/** As their encoder twins; a decoder takes as many columns as its codes have. */
TESS_API size_t tess_decoder_size(const struct tess_model *model);
TESS_API int tess_decoder_init(struct tess_decoder *mem,
                               const struct tess_model *model,
                               const struct tess_stream_options *options);
TESS_API int tess_decoder_create(struct tess_decoder **decoder,
                                 const struct tess_model *model,
                                 const struct tess_stream_options *options);
TESS_API void tess_decoder_destroy(struct tess_decoder *decoder, const struct tess_model *model);
TESS_API void tess_decoder_reset(struct tess_decoder *decoder);

/** Samples per channel that a push of n_frames gives at least; at the end, tess_model_samples of all
 *  frames have come. Cannot fail. */
TESS_API int64_t tess_decoder_samples(const struct tess_decoder *decoder, size_t n_frames);

/** Samples per channel that a push of n_frames gives at most, whatever came before it and if it is the
 *  last. Cannot fail, any thread. */
TESS_API int64_t tess_decoder_bound(const struct tess_model *model, size_t n_frames);

struct tess_decode_job {
    struct tess_decoder *decoder; /**< each stream at most once in a call */
    const uint16_t *codes;        /**< [n_frames][K], borrowed for the call */
    size_t n_frames;
    const float
        *scales;     /**< [n_scales]: where there are segments, of each that begins here, finite; a
                              segment without one is not scaled */
    size_t n_scales; /**< two at most may be ahead of their segments, at the end none */
    int end;         /**< not 0: no frame follows; the tail comes out */
    float *pcm;      /**< [capacity][channels], borrowed for the call */
    size_t capacity; /**< samples per channel that fit */
    int64_t n_samples; /**< out: samples per channel written; never clipped */
    int error;         /**< out: 0, or CODE, SPACE, ENDED, MISMATCH, ARGUMENT (too many frames or
                            scales), NONFINITE (a scale), or for a WHOLE_CLIP model UNSUPPORTED,
                            NOMEM, with segments NOMEM: nothing was consumed */
};

/* Segment s is the segment / hop frames from s segment / hop on; the last one may have fewer, and always
 * has: a recording of exactly s segment / hop frames ends with a segment that is a frame short and one of
 * a single frame. */

/** Decodes for several streams at once; as tess_encode. Over a whole stream, exactly
 *  tess_model_samples come out; the caller trims to the recording's length. */
TESS_API int tess_decode(struct tess_worker *worker, struct tess_decode_job *jobs, int n_jobs);

/** One stream's push and end, as their encoder twins. Return samples written or an error. */
TESS_API int64_t tess_decoder_push(struct tess_worker *worker,
                                   struct tess_decoder *decoder,
                                   const uint16_t *codes,
                                   size_t n_frames,
                                   float *pcm,
                                   size_t capacity);
TESS_API int64_t tess_decoder_flush(struct tess_worker *worker,
                                    struct tess_decoder *decoder,
                                    float *pcm,
                                    size_t capacity);

/* ---- resampler --------------------------------------------------------------------------- */

struct tess_resampler;

/** A streaming resampler (libsoxr, very high quality, linear phase; its memory is malloc's). Rates
 *  in Hz, 1..768,000, neither more than 4096 times the other; channels 1..64. Equal rates copy.
 *  Errors: ARGUMENT, NOMEM. */
TESS_API int tess_resampler_create(struct tess_resampler **resampler,
                                   int rate_in,
                                   int rate_out,
                                   int channels,
                                   const struct tess_allocator *allocator);
TESS_API void tess_resampler_destroy(struct tess_resampler *resampler);

/** Samples per channel that the push of n_in gives at most. Cannot fail. */
TESS_API size_t tess_resampler_bound(const struct tess_resampler *resampler, size_t n_in);

/** in [n_in][channels] to out [capacity][channels]; returns samples per channel written.
 *  All of `in` is consumed. After n samples in all and the flush, exactly
 *  ceil(n * rate_out / rate_in) have come out, aligned with the input (no delay to remove).
 *  Errors: SPACE (capacity below tess_resampler_bound; nothing consumed), ENDED, NOMEM (then only
 *  a reset is allowed). */
TESS_API int64_t tess_resampler_push(
    struct tess_resampler *resampler, const float *in, size_t n_in, float *out, size_t capacity);

/** Ends the stream: what is still due goes to out [capacity][channels]; returns samples per channel
 *  written. Call it until it returns 0. Then a reset makes it new. Errors: SPACE (capacity 0 where
 *  something is due), NOMEM. */
TESS_API int64_t tess_resampler_flush(struct tess_resampler *resampler,
                                      float *out,
                                      size_t capacity);

/** Back to the start of a new sound. Cannot fail. */
TESS_API void tess_resampler_reset(struct tess_resampler *resampler);

/* ---- ring -------------------------------------------------------------------------------- */

struct tess_ring;

/** A queue of samples (floats; several channels interleaved) between one writing and one reading
 *  thread: no locks, no allocation, no system call after creation, so the writer may be an audio
 *  callback. `capacity` samples fit at least (rounded up to a power of two). Errors: ARGUMENT, NOMEM.
 *  To be destroyed when both threads are done with it. */
TESS_API int
tess_ring_create(struct tess_ring **ring, size_t capacity, const struct tess_allocator *allocator);
TESS_API void tess_ring_destroy(struct tess_ring *ring);

/** The writer's call: copies up to n samples in, returns how many fitted. Never waits. */
TESS_API size_t tess_ring_write(struct tess_ring *ring, const float *pcm, size_t n);

/** The reader's call: copies up to n samples out, returns how many there were. Never waits. */
TESS_API size_t tess_ring_read(struct tess_ring *ring, float *pcm, size_t n);

/** Samples waiting to be read: a lower bound for the reader, an upper bound for the writer. Either
 *  thread, cannot fail. */
TESS_API size_t tess_ring_fill(const struct tess_ring *ring);

/* ---- coded files (.tess): docs/format.md ------------------------------------------------- */

/** Where bytes come from or go to: a file, a pipe, memory. `read` fills up to n bytes and returns
 *  how many (0 = the end) or -1; `write` takes all n bytes and returns 0 or -1; `seek` goes to an
 *  absolute offset and returns 0 or -1, and is NULL for a pipe. `read` may be NULL for a writer,
 *  `write` for a reader. */
struct tess_io {
    void *ctx;
    ptrdiff_t (*read)(void *ctx, void *bytes, size_t n);
    int (*write)(void *ctx, const void *bytes, size_t n);
    int (*seek)(void *ctx, uint64_t offset);
};

/** What stands in the header of a .tess file. */
struct tess_file_info {
    size_t size;                  /**< set by the caller: sizeof(struct tess_file_info) */
    char model[64];               /**< name */
    unsigned char fingerprint[8]; /**< first 8 bytes of the model file's SHA-256 */
    int sample_rate;              /**< of the model, Hz */
    int hop;                      /**< samples a frame */
    int codebooks;                /**< K: columns kept */
    int entries;                  /**< codes run from code_min to code_min + entries - 1 */
    int code_min;
    int channels;
    int source_rate;    /**< Hz, of what was encoded */
    int64_t n_source;   /**< samples per channel of the source; -1 = see the trailer */
    int segment_frames; /**< frames of a segment, where each has a scale: the model's segment / hop;
                             0 = there are none */
    int n_tags;
    const struct tess_tag *tags; /**< [n_tags]; a reader's live as long as it does */
};

struct tess_writer;
struct tess_reader;

/** Starts a file: writes the header, tags included. Copies *io and the rest of *info. Errors:
 *  ARGUMENT (a field is out of the format's range, unknown size), IO, NOMEM. */
TESS_API int tess_writer_create(struct tess_writer **writer,
                                const struct tess_io *io,
                                const struct tess_file_info *info,
                                const struct tess_allocator *allocator,
                                struct tess_why *why);

/** Appends n_frames of codes [n_frames][K]; a full chunk is written at once.
 *  Errors: CODE (nothing is taken), IO (the file is lost), ENDED (it is finished), ARGUMENT (the file
 *  has segments). Returns 0. */
TESS_API int tess_writer_put(struct tess_writer *writer, const uint16_t *codes, size_t n_frames);

/** The same with the scales of the segments that begin in these frames, as a tess_encode_job gives
 *  them; a full chunk is written when the next one begins. Errors: those, ARGUMENT (not as many scales
 *  as segments), NONFINITE; nothing is taken then. Returns 0. */
TESS_API int tess_writer_put_scaled(struct tess_writer *writer,
                                    const uint16_t *codes,
                                    size_t n_frames,
                                    const float *scales,
                                    size_t n_scales);

/** Writes the last chunk and the trailer. n_source: samples per channel of the source at its own
 *  rate, as the header has it unless that is -1; the frames put must cover
 *  ceil(n_source * sample_rate / source_rate) samples. Errors: IO, ARGUMENT (they do not, or n_source
 *  is not the header's: nothing was written), ENDED. Returns 0. */
TESS_API int tess_writer_finish(struct tess_writer *writer, int64_t n_source, struct tess_why *why);

/** Bytes written so far. Cannot fail. */
TESS_API uint64_t tess_writer_bytes(const struct tess_writer *writer);

/** Frees a writer. A file that was not finished has no trailer and lacks the chunk begun last. */
TESS_API void tess_writer_destroy(struct tess_writer *writer);

/** Reads and checks a header. Copies *io. Errors: FORMAT, TRUNCATED, CHECKSUM, IO, NOMEM. */
TESS_API int tess_reader_create(struct tess_reader **reader,
                                const struct tess_io *io,
                                const struct tess_allocator *allocator,
                                struct tess_why *why);

/** What the header says; lives as long as the reader. Once the end has been read (or, where the
 *  source can seek, tess_reader_scan has), n_source is known whatever the header left open. Cannot
 *  fail. */
TESS_API const struct tess_file_info *tess_reader_info(const struct tess_reader *reader);

/** The next frames, up to `capacity` (at least 1) or the end of a chunk, into codes
 *  [capacity][K]: a pipe hands out what it has. Returns how many; 0 at the end, when the trailer
 *  has been read and checked against what came before it. Each frame handed out has passed its
 *  chunk's checksum, so a damaged or shortened file is readable up to the damage; after an error
 *  the reader stays there until a scan or a seek. Errors: TRUNCATED, CHECKSUM, FORMAT, CODE, IO,
 *  ARGUMENT (capacity 0). */
TESS_API int64_t tess_reader_next(struct tess_reader *reader,
                                  uint16_t *codes,
                                  size_t capacity,
                                  struct tess_why *why);

/** The scales of the segments that begin in the frames that the last tess_reader_next handed out, *n of
 *  them, as a tess_decode_job takes them. They live until the reader's next call. Cannot fail. */
TESS_API const float *tess_reader_scales(const struct tess_reader *reader, size_t *n);

/** For a source that can seek: reads the trailer now, then goes back to the first frame.
 *  Errors: UNSUPPORTED (a pipe), TRUNCATED, CHECKSUM, FORMAT, IO. */
TESS_API int tess_reader_scan(struct tess_reader *reader, struct tess_why *why);

/** For a source that can seek, after a scan: the next frame to come is `frame`.
 *  Errors: ARGUMENT, UNSUPPORTED, IO and what reading a chunk may give. */
TESS_API int tess_reader_seek(struct tess_reader *reader, int64_t frame, struct tess_why *why);

/** Samples per channel at the model's rate, ceil(n_source * sample_rate / source_rate), and
 *  frames: exact once the trailer has been read, -1 before. Cannot fail. */
TESS_API int64_t tess_reader_samples(const struct tess_reader *reader);
TESS_API int64_t tess_reader_frames(const struct tess_reader *reader);
TESS_API void tess_reader_destroy(struct tess_reader *reader);

/* ---- models in 8 bits: docs/model.md ------------------------------------------------------ */

/** What tess_quantize says of one linear layer. */
struct tess_quantized_layer {
    const char *name; /**< its tensors'; lives during the call */
    double error; /**< root mean square of what 8 bits change in its output, by the output's own */
    int int8;     /**< 0: above max_error, so it stays as it was */
};

/** What tess_quantize measures with. */
struct tess_quantize_options {
    size_t size;      /**< set by the caller: sizeof(struct tess_quantize_options) */
    const float *pcm; /**< [n_samples][channels] of speech at the model's rate; borrowed */
    size_t n_samples; /**< a frame at least; a minute is plenty */
    double max_error; /**< layers above it stay as they are; 0: 0.1 */
    void (*report)(void *ctx, const struct tess_quantized_layer *layer); /**< or NULL */
    void *ctx;
};

/** Writes the model file `path` again, its linear layers in 8 bits, through out->write: another model,
 *  with its own name and fingerprint, whose codes differ from the first one's. Its arithmetic is the
 *  file's, so it gives the same bits on every CPU. Every layer is reported, in the data's order, before
 *  the file is written. Errors: those of tess_model_open; UNSUPPORTED (its family has no layers in 8
 *  bits, or they are already), ARGUMENT, NONFINITE, IO. Any thread. */
TESS_API int tess_quantize(const char *path,
                           const struct tess_io *out,
                           const struct tess_quantize_options *options,
                           struct tess_why *why);

#ifdef __cplusplus
}
#endif

#endif
