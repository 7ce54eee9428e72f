/* Samples between PortAudio's callbacks and the rings: a callback copies, notes the time and returns. */
#define _GNU_SOURCE /* strcasestr */
#include "device.h"

#include "json_out.h"
#include "report.h"

#include <portaudio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* A device that has not called for so long is gone: a busy machine delays by much less. */
static const long long patience_ns = 5000000000;

static long long now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ALSA, JACK and PortAudio print what they did not find, although nobody asked for it. */
int cli_devices_start(void)
{
    cli_report_alone(true);
    const PaError error = Pa_Initialize();
    if (!error) return CLI_OK;
    cli_report_alone(false);
    return cli_fail(CLI_IO, "sound: %s", Pa_GetErrorText(error));
}

void cli_devices_stop(void)
{
    Pa_Terminate();
    cli_report_alone(false);
}

static int channels_of(const PaDeviceInfo *info, enum cli_device_way way)
{
    return way == CLI_CAPTURE ? info->maxInputChannels : info->maxOutputChannels;
}

static cJSON *describe(int i, const PaDeviceInfo *info)
{
    cJSON *one = cJSON_CreateObject();
    cJSON_AddNumberToObject(one, "number", i);
    cJSON_AddStringToObject(one, "name", info->name);
    cJSON_AddNumberToObject(one, "inputs", info->maxInputChannels);
    cJSON_AddNumberToObject(one, "outputs", info->maxOutputChannels);
    cJSON_AddNumberToObject(one, "sample_rate", info->defaultSampleRate);
    cJSON_AddBoolToObject(one, "default_input", i == Pa_GetDefaultInputDevice());
    cJSON_AddBoolToObject(one, "default_output", i == Pa_GetDefaultOutputDevice());
    return one;
}

int cli_devices_list(const struct cli_options *options)
{
    const int n = Pa_GetDeviceCount();
    if (n <= 0) return cli_fail(CLI_IO, "there is no sound device");
    cJSON *all = cJSON_CreateArray();
    for (int i = 0; i < n; i++) {
        const PaDeviceInfo *info = Pa_GetDeviceInfo(i);
        if (options->json)
            cJSON_AddItemToArray(all, describe(i, info));
        else
            printf("%3d %c%c  %3d in %3d out  %6.0f Hz  %s\n", i,
                   i == Pa_GetDefaultInputDevice() ? 'i' : ' ',
                   i == Pa_GetDefaultOutputDevice() ? 'o' : ' ', info->maxInputChannels,
                   info->maxOutputChannels, info->defaultSampleRate, info->name);
    }
    if (options->json)
        cli_json_print(all, stdout);
    else
        cJSON_Delete(all);
    return CLI_OK;
}

static const char *const nouns[] = {"microphone", "speaker"};

/* Number of the device that `wanted` names, or -1. */
static int find(enum cli_device_way way, const char *wanted)
{
    if (!wanted)
        return way == CLI_CAPTURE ? Pa_GetDefaultInputDevice() : Pa_GetDefaultOutputDevice();
    const int n = Pa_GetDeviceCount();
    char *end;
    const long number = strtol(wanted, &end, 10);
    if (end != wanted && *end == 0) return number >= 0 && number < n ? (int)number : -1;
    for (int i = 0; i < n; i++) {
        const PaDeviceInfo *info = Pa_GetDeviceInfo(i);
        if (channels_of(info, way) > 0 && strcasestr(info->name, wanted)) return i;
    }
    return -1;
}

static PaStreamParameters parameters(const struct cli_device *d)
{
    const PaDeviceInfo *info = Pa_GetDeviceInfo(d->number);
    const PaTime low =
        d->way == CLI_CAPTURE ? info->defaultLowInputLatency : info->defaultLowOutputLatency;
    const PaTime high =
        d->way == CLI_CAPTURE ? info->defaultHighInputLatency : info->defaultHighOutputLatency;
    return (PaStreamParameters){
        .device = d->number,
        .channelCount = d->channels,
        .sampleFormat = paFloat32,
        .suggestedLatency = d->unhurried ? high : low,
    };
}

int cli_device_choose(
    struct cli_device *d, enum cli_device_way way, const char *wanted, int rate, int channels)
{
    *d = (struct cli_device){.way = way, .number = find(way, wanted), .rate = rate};
    const PaDeviceInfo *info = d->number < 0 ? NULL : Pa_GetDeviceInfo(d->number);
    const int most = info ? channels_of(info, way) : 0;
    if (most == 0 && wanted)
        return cli_fail(CLI_IO, "no %s '%s' (tessera mic --list-devices shows all)", nouns[way],
                        wanted);
    if (most == 0) return cli_fail(CLI_IO, "there is no %s", nouns[way]);
    snprintf(d->name, sizeof d->name, "%s", info->name);
    d->channels = channels < most ? channels : most;

    const PaStreamParameters p = parameters(d);
    const bool captures = way == CLI_CAPTURE;
    if (Pa_IsFormatSupported(captures ? &p : NULL, captures ? NULL : &p, rate) !=
        paFormatIsSupported)
        d->rate = (int)info->defaultSampleRate;
    return CLI_OK;
}

static int captured(const void *in,
                    void *out,
                    unsigned long n,
                    const PaStreamCallbackTimeInfo *times,
                    PaStreamCallbackFlags flags,
                    void *ctx)
{
    (void)out, (void)times;
    struct cli_device *d = ctx;
    const long long now = now_ns();
    cli_intake_take(d->intake, in, n, (flags & paInputOverflow) != 0, now);
    atomic_store(&d->called, now);
    return paContinue;
}

static int played(const void *in,
                  void *out,
                  unsigned long n,
                  const PaStreamCallbackTimeInfo *times,
                  PaStreamCallbackFlags flags,
                  void *ctx)
{
    (void)in, (void)times, (void)flags;
    struct cli_device *d = ctx;
    cli_playout_give(d->playout, out, n);
    atomic_store(&d->called, now_ns());
    return paContinue;
}

static int run(struct cli_device *d)
{
    const bool captures = d->way == CLI_CAPTURE;
    const PaStreamParameters p = parameters(d);
    atomic_store(&d->called, now_ns());
    PaError error =
        Pa_OpenStream(&d->stream, captures ? &p : NULL, captures ? NULL : &p, d->rate,
                      paFramesPerBufferUnspecified, paNoFlag, captures ? captured : played, d);
    if (!error) error = Pa_StartStream(d->stream);
    if (error)
        return cli_fail(CLI_IO, "%s '%s': %s", nouns[d->way], d->name, Pa_GetErrorText(error));
    const PaStreamInfo *info = Pa_GetStreamInfo(d->stream);
    d->latency = captures ? info->inputLatency : info->outputLatency;
    return CLI_OK;
}

int cli_device_capture(struct cli_device *d, struct cli_intake *to)
{
    d->intake = to;
    return run(d);
}

int cli_device_play(struct cli_device *d, struct cli_playout *from)
{
    d->playout = from;
    return run(d);
}

int cli_device_check(const struct cli_device *d)
{
    const bool calls = now_ns() - atomic_load(&d->called) < patience_ns;
    if (calls && Pa_IsStreamActive(d->stream) == 1) return CLI_OK;
    return cli_fail(CLI_IO, "the %s '%s' is gone", nouns[d->way], d->name);
}

void cli_device_drain(struct cli_device *d)
{
    Pa_StopStream(d->stream);
}

void cli_device_close(struct cli_device *d)
{
    if (!d->stream) return;
    Pa_AbortStream(d->stream);
    Pa_CloseStream(d->stream);
    d->stream = NULL;
}
