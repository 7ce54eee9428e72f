/* Live sound to codes at a daemon: 16-bit mono PCM at 24 kHz on standard input, codes on standard output,
 * four 16-bit numbers a frame, as soon as a frame's hop is there.
 *
 *     cc socket.c -o socket $(pkg-config --cflags tessera)
 *     arecord -q -t raw -f S16_LE -r 24000 | ./socket 7207 > codes
 */
#include "daemon.h"

enum { HOP_BYTES = 640 };

/* A hop from standard input to the daemon, or the end. Returns whether there is more. */
static int speak(void)
{
    char pcm[HOP_BYTES];
    size_t n = 0;
    ptrdiff_t got;
    while (n < sizeof pcm && (got = read(STDIN_FILENO, pcm + n, sizeof pcm - n)) > 0)
        n += (size_t)got;
    n -= n % 2;
    daemon_credit -= n;
    if (n > 0) daemon_send(TESS_WIRE_PCM, 1, pcm, n);
    if (n < sizeof pcm) daemon_send(TESS_WIRE_END, 1, "", 0);
    return n == sizeof pcm;
}

int main(int argc, char **argv)
{
    if (argc != 2) fail("usage: socket PORT <PCM >CODES");
    daemon_open(argv[1], "{\"direction\": \"encode\", \"format\": \"s16le\", \"rate\": 24000}");
    daemon_converse(speak, HOP_BYTES, TESS_WIRE_CODES);
    return 0;
}
