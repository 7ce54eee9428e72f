/* What a text-to-speech model does with a daemon: codes go as they come, and are heard while it is still
 * talking. Here they come from standard input, four 16-bit numbers a frame; 16-bit mono PCM at 24 kHz goes
 * to standard output.
 *
 *     cc tts.c -o tts $(pkg-config --cflags tessera)
 *     ./model | ./tts 7207 | aplay -q -t raw -f S16_LE -r 24000
 */
#include "daemon.h"

enum { FRAME_BYTES = 8, MOST_BYTES = 75 * FRAME_BYTES };

/* The whole frames that have come go to the daemon, or the end. Returns whether there is more. */
static int speak(void)
{
    static char codes[MOST_BYTES];
    static size_t n;
    ptrdiff_t got = read(STDIN_FILENO, codes + n, sizeof codes - n);
    if (got <= 0) {
        daemon_send(TESS_WIRE_END, 1, "", 0);
        return 0;
    }
    n += (size_t)got;
    const size_t whole = n / FRAME_BYTES * FRAME_BYTES;
    daemon_credit -= whole;
    if (whole > 0) daemon_send(TESS_WIRE_CODES, 1, codes, whole);
    n -= whole;
    memmove(codes, codes + whole, n);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 2) fail("usage: tts PORT <CODES >PCM");
    daemon_open(argv[1], "{\"direction\": \"decode\", \"codebooks\": 4, \"format\": \"s16le\"}");
    daemon_converse(speak, MOST_BYTES, TESS_WIRE_PCM);
    return 0;
}
