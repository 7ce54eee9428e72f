/* What happened, a line an event on stderr: never sound, codes or keys. */
#ifndef SRV_LOG_H
#define SRV_LOG_H

#include <stdbool.h>
#include <stddef.h>

struct srv_log {
    bool json;      /* an object a line, else text */
    bool addresses; /* clients' addresses may be named */
};

enum srv_level { SRV_INFO, SRV_WARNING, SRV_ERROR };

/** Makes n bytes fit to be shown anywhere: those that are none of ASCII's characters become '?'. What
 *  clients say may be quoted to others only so. */
void srv_log_clean(char *text, size_t n);

/** One line: time, level, event (a word that a filter can look for) and a sentence, cleaned. */
void srv_log(const struct srv_log *log,
             enum srv_level level,
             const char *event,
             const char *format,
             ...) __attribute__((format(printf, 4, 5)));

#endif
