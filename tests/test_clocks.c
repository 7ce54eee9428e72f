/* A microphone and a speaker by two clocks, with the callbacks driven by simulated time: drift is
 * bounded and told, and what the microphone's ring cannot take is counted and stays in its place. */
#include "clients/intake.h"
#include "clients/playout.h"
#include "tests/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RATE = 24000, HOP = 320, CAPTURED = 480, PLAYED = 512, HOUR = 3600 };
enum { CUSHION = RATE * 12 / 1000, SLIP = RATE / 200 };

static const double pi = 3.14159265358979323846;

/* A second of a voice: 0.7 s of a tone with soft ends, then a pause. */
static const float *voice(void)
{
    static float pcm[RATE];
    const int n = RATE * 7 / 10;
    for (int i = 0; i < n; i++)
        pcm[i] = (float)(0.3 * sin(pi * i / n) * sin(2 * pi * 150 * i / RATE));
    return pcm;
}

struct hour {
    struct cli_intake in;
    struct cli_playout out;
    const float *pcm; /* [RATE], over and over */
    size_t at;        /* in pcm, of the microphone */
    float hop[HOP], last;
    size_t n_hop;
    size_t most;    /* samples that lay before the speaker after the first minute */
    float steepest; /* largest step between two samples that were played */
};

static void capture(struct hour *h)
{
    cli_intake_take(&h->in, h->pcm + h->at, CAPTURED, false, 1);
    h->at = (h->at + CAPTURED) % RATE; /* a second is a whole number of callbacks */
}

/* Our thread's turn: hops go from the microphone to the speaker. */
static void pump(struct hour *h)
{
    size_t n;
    while ((n = cli_intake_read(&h->in, h->hop + h->n_hop, HOP - h->n_hop)) > 0) {
        h->n_hop += n;
        if (h->n_hop < HOP) continue;
        cli_playout_put(&h->out, h->hop, HOP);
        h->n_hop = 0;
    }
}

static void play(struct hour *h, double now)
{
    float pcm[PLAYED];
    const size_t fill = cli_playout_fill(&h->out);
    if (now > 60 && fill > h->most) h->most = fill;
    cli_playout_give(&h->out, pcm, PLAYED);
    for (int i = 0; i < PLAYED; i++) {
        h->steepest = fmaxf(h->steepest, fabsf(pcm[i] - h->last));
        h->last = pcm[i];
    }
}

/* An hour with a microphone at RATE, a speaker at another and a turn of ours every 5 ms. */
static void run(struct hour *h, double speaker_rate, const float *pcm)
{
    *h = (struct hour){.pcm = pcm};
    assert_int_equal(cli_intake_create(&h->in, 1, 4 * RATE), TESS_OK);
    assert_int_equal(cli_playout_create(&h->out, 1, RATE, CUSHION), TESS_OK);
    double captured = 0, played = 0.001, turned = 0.002;
    while (captured < HOUR) {
        if (captured <= played && captured <= turned) {
            capture(h);
            captured += (double)CAPTURED / RATE;
        } else if (played <= turned) {
            play(h, played);
            played += PLAYED / speaker_rate;
        } else {
            pump(h);
            turned += 0.005;
        }
    }
    cli_intake_destroy(&h->in);
    cli_playout_destroy(&h->out);
}

static void check_hour(double speaker_rate, const float *pcm)
{
    struct hour h;
    run(&h, speaker_rate, pcm);
    const double drift = HOUR * (RATE - speaker_rate);
    const double slipped = (double)h.out.n_cut - (double)h.out.n_repeated;
    print_message(
        "%.0f Hz: cut %zu, repeated %zu, at most %zu samples (%.1f ms) before the speaker, "
        "steepest step %.4f\n",
        speaker_rate, h.out.n_cut, h.out.n_repeated, h.most, 1e3 * (double)h.most / RATE,
        (double)h.steepest);
    assert_int_equal(h.in.n_lost, 0);
    assert_int_equal(h.out.n_underflows, 0);
    assert_int_equal(h.out.n_dropped, 0);
    /* All that the clocks differ by, but for what the cushion may be off by: at the start twice its
     * height and a callback, at the end a slip more or less and what comes in a second of judging. */
    assert_true(fabs(slipped - drift) < 2 * CUSHION + PLAYED + 2 * SLIP + fabs(drift) / HOUR);
    /* The cushion, a slip it may be off by, two seconds' drift until one is made, what a callback takes
     * and what a microphone's callback and an unfinished hop bring at once. */
    assert_true(h.most < CUSHION + 2 * SLIP + 20 + PLAYED + CAPTURED + HOP);
    /* The tone itself has steps of 0.012; a fade over a slip adds its height, twice, by the slip's
     * length. A cut without one steps by up to 0.6. */
    assert_true(h.steepest < 0.012f + 2 * 0.3f / SLIP + 0.003f);
}

static void drift_of_clocks_is_bounded(void **state)
{
    (void)state;
    check_hour(RATE - 10, voice());
    check_hour(RATE + 10, voice());
}

static void it_is_where_nothing_is_quiet(void **state)
{
    (void)state;
    static float tone[RATE];
    for (int i = 0; i < RATE; i++)
        tone[i] = (float)(0.3 * sin(2 * pi * 150 * i / RATE));
    check_hour(RATE - 10, tone);
    check_hour(RATE + 10, tone);
}

/* Clocks that agree: after the cushion has found its height, no sample is touched. */
static void equal_clocks_leave_the_sound_alone(void **state)
{
    (void)state;
    struct hour h;
    run(&h, RATE, voice());
    assert_int_equal(h.out.n_underflows + h.out.n_dropped, 0);
    assert_true(h.out.n_cut + h.out.n_repeated < 2 * CUSHION + PLAYED);
}

/* A speaker that starts late does not stay late. */
static void nothing_heaps_up_before_the_start(void **state)
{
    (void)state;
    struct cli_playout out;
    float pcm[PLAYED];
    assert_int_equal(cli_playout_create(&out, 1, RATE, CUSHION), TESS_OK);
    for (int i = 0; i < 50; i++)
        cli_playout_put(&out, voice(), HOP);
    assert_true(cli_playout_fill(&out) <= 2 * CUSHION + HOP);
    assert_int_equal(out.n_cut, 50 * HOP - cli_playout_fill(&out));
    cli_playout_give(&out, pcm, PLAYED);
    cli_playout_put(&out, voice(), HOP);
    cli_playout_put(&out, voice(), HOP);
    cli_playout_give(&out, pcm, PLAYED);
    assert_true(out.playing);
    cli_playout_destroy(&out);
}

/* After an underflow the speaker waits, and for more than before. */
static void an_underflow_is_counted_and_makes_the_cushion_larger(void **state)
{
    (void)state;
    struct cli_playout out;
    float pcm[PLAYED], ones[4 * PLAYED];
    for (int i = 0; i < 4 * PLAYED; i++)
        ones[i] = 1;
    assert_int_equal(cli_playout_create(&out, 1, RATE, PLAYED), TESS_OK);
    cli_playout_put(&out, ones, 3 * PLAYED - 1);
    cli_playout_give(&out, pcm, PLAYED);
    assert_true(pcm[0] == 0 && out.n_underflows == 0); /* a sample short of the start */
    cli_playout_put(&out, ones, 1);
    for (int i = 0; i < 3; i++) {
        cli_playout_give(&out, pcm, PLAYED);
        assert_true(pcm[0] == 1 && pcm[PLAYED - 1] == 1);
    }
    cli_playout_give(&out, pcm, PLAYED);
    assert_true(pcm[0] == 0 && out.n_underflows == 1);
    cli_playout_put(&out, ones, 3 * PLAYED);
    cli_playout_give(&out, pcm, PLAYED);
    assert_true(pcm[0] == 0 && out.n_underflows == 1);
    cli_playout_put(&out, ones, PLAYED + 2);
    cli_playout_give(&out, pcm, PLAYED);
    assert_true(pcm[0] == 1);
    atomic_store(&out.ended, true);
    for (int i = 0; i < 5; i++)
        cli_playout_give(&out, pcm, PLAYED);
    assert_true(pcm[0] == 0 && out.n_underflows == 1); /* the end is none */
    cli_playout_destroy(&out);
}

/* A reader that stalls: what is lost is counted, and each other sample stands where it was spoken. */
static void check_overflow(size_t channels)
{
    enum { BLOCKS = 990, ROOM = 5 * CAPTURED + 7 };
    struct cli_intake in;
    assert_int_equal(cli_intake_create(&in, channels, ROOM), TESS_OK);
    float *pcm = malloc(sizeof *pcm * CAPTURED * channels);
    float *out = malloc(sizeof *out * BLOCKS * CAPTURED * channels);
    size_t n_out = 0, injected = 0;
    for (size_t block = 0; block < BLOCKS; block++) {
        for (size_t i = 0; i < CAPTURED * channels; i++)
            pcm[i] = (float)(block * CAPTURED * channels + i + 1); /* exact below 2^24 */
        if (block % 20 == 19 || (block % 20 < 3 && block >= 20)) /* the sixth to ninth of a stall */
            injected += CAPTURED;
        if (block % 20 > 2 && block % 20 < 15)
            n_out += cli_intake_read(&in, out + n_out * channels, ROOM);
        cli_intake_take(&in, pcm, CAPTURED, block % 100 == 0, (long long)block);
    }
    n_out += cli_intake_read(&in, out + n_out * channels, ROOM);

    size_t n_silent = 0;
    for (size_t i = 0; i < n_out * channels; i++) {
        n_silent += out[i] == 0;
        assert_true(out[i] == 0 || out[i] == (float)(i + 1));
    }
    assert_int_equal(in.n_lost, injected);
    assert_int_equal(n_silent, injected * channels);
    assert_int_equal(n_out, BLOCKS * CAPTURED);
    assert_int_equal(in.n_heard, BLOCKS * CAPTURED);
    assert_int_equal(in.n_skips, 10);
    free(pcm);
    free(out);
    cli_intake_destroy(&in);
}

static void overflows_are_counted_and_stay_in_place(void **state)
{
    (void)state;
    check_overflow(1);
    check_overflow(2);
    check_overflow(3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drift_of_clocks_is_bounded),
        cmocka_unit_test(it_is_where_nothing_is_quiet),
        cmocka_unit_test(equal_clocks_leave_the_sound_alone),
        cmocka_unit_test(nothing_heaps_up_before_the_start),
        cmocka_unit_test(an_underflow_is_counted_and_makes_the_cushion_larger),
        cmocka_unit_test(overflows_are_counted_and_stay_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
