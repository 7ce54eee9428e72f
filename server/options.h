/* What the operator decides: one table of rows, each a flag, an environment variable and a key of
 * the configuration file. The first of flag, environment, file and default that speaks counts. */
#ifndef SRV_OPTIONS_H
#define SRV_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { SRV_MAX_LIST = 16, SRV_MAX_MODELS = SRV_MAX_LIST };

/* kind, field, name, default, least, most, what the value is, help. The flag is --name, the variable
 * TESSERA_NAME in capitals with underscores, the file's key name. A LIST may be given again, "" is none of it. */
#define SRV_OPTIONS(X)                                                                             \
    X(LIST, models, "model", "tessera-24k-speech-int8", 0, SRV_MAX_MODELS, "NAME=FILE",            \
      "a model to serve, again for more; a FILE alone, or a name that was installed")              \
    X(TEXT, host, "host", "127.0.0.1", 0, 0, "ADDRESS", "address to listen on")                    \
    X(NUMBER, port, "port", "7207", 0, 65535, "N",                                                 \
      "port of the native protocol; 0 = any free one")                                             \
    X(NUMBER, http_port, "http-port", "7208", 0, 65535, "N",                                       \
      "port of HTTP and WebSocket; 0 = any free one")                                              \
    X(TEXT, unix_path, "unix", "/run/tessera/tessera.sock", 0, 0, "PATH",                          \
      "Unix socket of the native protocol, mode 0660; empty = none")                               \
    X(LIST, allow_hosts, "allow-host", "", 0, SRV_MAX_LIST, "NAME",                                \
      "a name that HTTP requests may be for (Host), again for more")                               \
    X(LIST, allow_origins, "allow-origin", "", 0, SRV_MAX_LIST, "URL",                             \
      "a web site whose pages may ask (Origin), again for more")                                   \
    X(TEXT, api_key_file, "api-key-file", "", 0, 0, "FILE",                                        \
      "keys that clients must show, one a line")                                                   \
    X(TEXT, tls_cert, "tls-cert", "", 0, 0, "FILE", "certificate chain (PEM)")                     \
    X(TEXT, tls_key, "tls-key", "", 0, 0, "FILE", "the certificate's private key (PEM)")           \
    X(FLAG, insecure, "insecure", "0", 0, 1, "0|1", "listen beyond this machine without TLS")      \
    X(NUMBER, threads, "threads", "0", 0, 256, "N", "workers that compute; 0 = one a core")        \
    X(NUMBER, max_clients, "max-clients", "4096", 1, 65536, "N",                                   \
      "connections; lowered to what the limit of open files leaves")                               \
    X(NUMBER, max_per_address, "max-per-address", "64", 1, 65536, "N",                             \
      "connections of one address; this machine's own are exempt")                                 \
    X(NUMBER, max_streams, "max-streams", "256", 1, 65536, "N", "streams open at once")            \
    X(NUMBER, max_client_streams, "max-client-streams", "64", 1, 65535, "N",                       \
      "streams open at once on one connection")                                                    \
    X(NUMBER, max_load, "max-load", "85", 1, 1000000, "PERCENT",                                   \
      "share of the workers' time that live streams may need, as measured")                        \
    X(NUMBER, max_jobs, "max-jobs", "512", 1, 65536, "N",                                          \
      "one-shot jobs at once, those that wait included")                                           \
    X(NUMBER, max_audio, "max-audio", "3600", 1, 86400, "SECONDS", "sound of one one-shot job")    \
    X(NUMBER, max_message, "max-message", "65536", 1024, 65536, "BYTES", "size of one message")    \
    X(NUMBER, max_header, "max-header", "8192", 1024, 16384, "BYTES",                              \
      "size of an HTTP request's head")                                                            \
    X(NUMBER, header_ms, "header-timeout", "5000", 100, 3600000, "MS",                             \
      "time for an HTTP request's head")                                                           \
    X(NUMBER, max_body, "max-body", "268435456", 1024, INT64_C(1) << 40, "BYTES",                  \
      "size of an HTTP request's body")                                                            \
    X(NUMBER, body_ms, "body-timeout", "10000", 100, 3600000, "MS",                                \
      "time between two reads of a body")                                                          \
    X(NUMBER, input_ms, "input-ahead", "2000", 1000, 60000, "MS",                                  \
      "sound that a stream may be ahead of its computation")                                       \
    X(NUMBER, slow_ms, "slow-timeout", "10000", 100, 3600000, "MS",                                \
      "age of the oldest unsent byte at which a client is dropped")                                \
    X(NUMBER, max_backlog, "max-backlog", "1048576", 262144, 1 << 30, "BYTES",                     \
      "unsent bytes at which a client is dropped")                                                 \
    X(NUMBER, max_backlogs, "max-backlogs", "268435456", 1048576, 0x7fffffff, "BYTES",             \
      "unsent bytes of all clients at which the largest is dropped")                               \
    X(NUMBER, handshake_ms, "handshake-timeout", "5000", 100, 3600000, "MS", "time for HELLO")     \
    X(NUMBER, ping_ms, "ping-interval", "10000", 100, 3600000, "MS", "time between two PINGs")     \
    X(NUMBER, pong_ms, "pong-timeout", "20000", 100, 3600000, "MS",                                \
      "time without a PONG at which a client is dropped")                                          \
    X(NUMBER, idle_ms, "idle-timeout", "120000", 0, 86400000, "MS",                                \
      "time a client may stay without a stream; 0 = for ever")                                     \
    X(NUMBER, drain_ms, "drain-timeout", "30000", 0, 3600000, "MS",                                \
      "time that running streams have after SIGTERM")                                              \
    X(TEXT, log_format, "log-format", "text", 0, 0, "text|json", "shape of the log's lines")       \
    X(FLAG, log_addresses, "log-addresses", "0", 0, 1, "0|1", "clients' addresses in the log")

enum srv_option_index {
#define SRV_OPTION_INDEX(kind, field, ...) SRV_OPTION_##field,
    SRV_OPTIONS(SRV_OPTION_INDEX)
#undef SRV_OPTION_INDEX
        SRV_N_OPTIONS
};

enum srv_option_source { SRV_DEFAULT, SRV_FILE, SRV_ENVIRONMENT, SRV_COMMAND_LINE };

struct srv_list {
    char *item[SRV_MAX_LIST];
    int n;
};

struct srv_options {
#define SRV_FIELD_LIST(field)              struct srv_list field;
#define SRV_FIELD_TEXT(field)              char *field;
#define SRV_FIELD_NUMBER(field)            int64_t field;
#define SRV_FIELD_FLAG(field)              int64_t field;
#define SRV_OPTION_FIELD(kind, field, ...) SRV_FIELD_##kind(field)
    SRV_OPTIONS(SRV_OPTION_FIELD)
#undef SRV_OPTION_FIELD
    enum srv_option_source source[SRV_N_OPTIONS];
    bool help, version, print_config; /* flags alone: they answer and end */
};

/** Reads the command line, the environment and the file of --config or TESSERA_CONFIG. Returns 0 or
 *  2, the reason told on stderr. Either way srv_options_free frees what was read. */
int srv_options_read(struct srv_options *options, int argc, char **argv);
void srv_options_free(struct srv_options *options);

/** Every row as "name = value  # source": a file that --config would read. */
void srv_options_print(const struct srv_options *options, FILE *to);
void srv_options_help(FILE *to);

#endif
