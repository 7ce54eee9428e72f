/* What a text-to-speech model does with a daemon: codes come one frame at a time, at the pace of speech,
 * and are heard while it is still talking. Here they come from standard input, four 16-bit numbers a frame;
 * 16-bit mono PCM at 24 kHz goes to standard output.
 *
 *     cc tts.c -o tts $(pkg-config --cflags tessera)
 *     ./tts 7207 < codes | aplay -q -t raw -f S16_LE -r 24000
 */
#include "daemon.h"

#include <poll.h>
#include <time.h>

enum { FRAME_BYTES = 8, FRAME_RATE = 75 };

static struct message m;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A message from the daemon. Returns whether there is more. */
static int hear(void)
{
    daemon_receive(&m);
    if (m.head.type == TESS_WIRE_PCM) {
        fwrite(m.payload, 1, m.head.n_bytes, stdout);
        fflush(stdout);
    }
    return m.head.type != TESS_WIRE_STATS;
}

static void hear_until(double time)
{
    struct pollfd end = {.fd = daemon_fd, .events = POLLIN};
    for (double left; (left = time - now()) > 0;)
        if (poll(&end, 1, 1 + (int)(1000 * left)) > 0) hear();
}

int main(int argc, char **argv)
{
    char frame[FRAME_BYTES];
    if (argc != 2) fail("usage: tts PORT <CODES >PCM");
    daemon_open(argv[1], "{\"direction\": \"decode\", \"codebooks\": 4, \"format\": \"s16le\"}");
    const double start = now();
    for (int t = 0; fread(frame, sizeof frame, 1, stdin) == 1; t++) {
        hear_until(start + (double)t / FRAME_RATE); /* the model thinks */
        daemon_send(TESS_WIRE_CODES, 1, frame, sizeof frame);
    }
    daemon_send(TESS_WIRE_END, 1, "", 0);
    while (hear())
        ;
    return 0;
}
