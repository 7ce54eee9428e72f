/* Microphones and speakers: the only file that knows PortAudio. */
#ifndef CLI_DEVICE_H
#define CLI_DEVICE_H

#include "intake.h"
#include "options.h"
#include "playout.h"

enum cli_device_way { CLI_CAPTURE, CLI_PLAYBACK };

struct cli_device {
    enum cli_device_way way;
    int number;
    char name[128];
    int rate, channels; /* what it is going to be asked for */
    bool unhurried;     /* the caller's to set: larger buffers, for sound that nobody waits for */
    double latency;     /* seconds: the device's own, once it runs */
    void *stream;       /* PaStream; NULL: not running */
    struct cli_intake *intake; /* borrowed: what the callback copies to or from */
    struct cli_playout *playout;
    atomic_llong called; /* when the callback was, ns of the monotonic clock */
};

/** Looks for devices; what the sound system prints is kept from standard error. To be undone with
 *  cli_devices_stop, a second call of which does nothing. Returns 0 or CLI_IO, the reason told. */
int cli_devices_start(void);
void cli_devices_stop(void);

/** Prints them all to standard output. Returns 0 or CLI_IO, the reason told. */
int cli_devices_list(const struct cli_options *options);

/** The device that `wanted` names by its number or by a part of its name, NULL being the system's
 *  default; at the model's rate and channels, else at its own. Returns 0 or CLI_IO, the reason told. */
int cli_device_choose(
    struct cli_device *device, enum cli_device_way way, const char *wanted, int rate, int channels);

/** Runs it into an intake, or from a playout. Returns as above. */
int cli_device_capture(struct cli_device *device, struct cli_intake *to);
int cli_device_play(struct cli_device *device, struct cli_playout *from);

/** Whether it still gives or takes samples; else tells that it is gone and returns CLI_IO. */
int cli_device_check(const struct cli_device *device);

/** Lets it play what it has taken. */
void cli_device_drain(struct cli_device *device);

/** Stops it at once. A second call does nothing. */
void cli_device_close(struct cli_device *device);

#endif
