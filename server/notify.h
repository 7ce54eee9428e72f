/* Words to the service manager: one datagram each to $NOTIFY_SOCKET, nothing where there is none. */
#ifndef SRV_NOTIFY_H
#define SRV_NOTIFY_H

#include <stdint.h>

void srv_notify(const char *words);

/** Milliseconds within which WATCHDOG=1 is expected, 0 = never. */
uint64_t srv_notify_watchdog(void);

#endif
