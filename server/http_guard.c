/* A request's Host, Origin and key in, yes or no out. A page of any web site can make the visitor's
 * browser ask us, under a name of that site which points to this machine: so we answer to our own
 * names only, and to our own pages and those of --allow-origin. */
#include "server/http_client.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST_TEXT = 512, MOST_ARGUMENTS = 128 /* more than libwebsockets keeps */ };

const char *
srv_http_header(const struct srv_http_client *c, enum lws_token_indexes name, char *text, size_t n)
{
    *text = 0;
    if (lws_hdr_total_length(c->wsi, name) == 0) return text;
    int length = lws_hdr_copy(c->wsi, text, (int)n, name);
    return length >= 0 && strlen(text) == (size_t)length ? text : NULL;
}

int64_t srv_http_length(const struct srv_http_client *c)
{
    char text[24];
    const char *length = srv_http_header(c, WSI_TOKEN_HTTP_CONTENT_LENGTH, text, sizeof text);
    size_t n = length ? strlen(length) : 0;
    return n > 0 && n < 19 && strspn(length, "0123456789") == n ? strtoll(length, NULL, 10) : -1;
}

static bool listed(const struct srv_list *list, const char *text)
{
    for (int i = 0; i < list->n; i++)
        if (strcasecmp(list->item[i], text) == 0) return true;
    return false;
}

/* ---- Host ---- */

/* Cuts ":port" off. Returns false when what is after the name is no port. */
static bool cut_port(char *host)
{
    char *end = *host == '[' ? strchr(host, ']') : NULL;
    if (*host == '[' && !end) return false;
    char *colon = strchr(end ? end : host, ':');
    if (end && end[1] && colon != end + 1) return false;
    if (!colon) return true;
    *colon = 0;
    return strspn(colon + 1, "0123456789") == strlen(colon + 1);
}

static bool is_this_machine(const char *host)
{
    struct in_addr in;
    return strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
           (uv_inet_pton(AF_INET, host, &in) == 0 && ntohl(in.s_addr) >> 24 == 127);
}

/* Beyond this machine a key is needed, which no foreign page has; so there any name is ours unless
 * names are given. */
static bool host_allowed(const struct srv_server *server, const char *host)
{
    const struct srv_list *list = &server->options.allow_hosts;
    return listed(list, host) || is_this_machine(host) || (!server->http_local && list->n == 0);
}

/* ---- Origin ---- */

static bool is_own(const char *origin, const char *host)
{
    const char *name = strstr(origin, "://");
    return name && strcasecmp(name + 3, host) == 0;
}

static const char *find_allowed(const struct srv_list *list, const char *origin)
{
    for (int i = 0; i < list->n; i++)
        if (strcasecmp(list->item[i], origin) == 0) return list->item[i];
    return NULL;
}

int srv_http_guard(struct srv_http_client *c, const char **why)
{
    char host[MOST_TEXT], name[MOST_TEXT], origin[MOST_TEXT];
    *why = "one Host is needed";
    if (!srv_http_header(c, WSI_TOKEN_HOST, host, sizeof host) || !*host) return 400;
    strcpy(name, host);
    if (!cut_port(name)) return 400;
    *why = "not a name of this server (--allow-host)";
    if (!host_allowed(c->server, name)) return 403;
    *why = "not for pages of this web site (--allow-origin)";
    if (!srv_http_header(c, WSI_TOKEN_ORIGIN, origin, sizeof origin)) return 403;
    c->origin = find_allowed(&c->server->options.allow_origins, origin);
    return !*origin || c->origin || is_own(origin, host) ? 0 : 403;
}

/* ---- keys ---- */

enum srv_http_key srv_http_key(const struct srv_http_client *c)
{
    char text[SRV_MAX_KEY + 16];
    static const char scheme[] = "Bearer ";
    const size_t n = sizeof scheme - 1;
    if (c->server->keys.n == 0) return SRV_KEY_RIGHT;
    if (!srv_http_header(c, WSI_TOKEN_HTTP_AUTHORIZATION, text, sizeof text)) return SRV_KEY_WRONG;
    if (!*text) return SRV_KEY_NONE;
    bool right = strncasecmp(text, scheme, n) == 0 && srv_keys_allow(&c->server->keys, text + n);
    return right ? SRV_KEY_RIGHT : SRV_KEY_WRONG;
}

bool srv_http_key_in_url(const struct srv_http_client *c)
{
    static const char *const names[] = {"key",     "api_key",       "apikey",
                                        "api-key", "token",         "access_token",
                                        "auth",    "authorization", "auth_id"};
    char text[MOST_TEXT];
    for (int i = 0; i < MOST_ARGUMENTS; i++) {
        if (lws_hdr_copy_fragment(c->wsi, text, sizeof text, WSI_TOKEN_HTTP_URI_ARGS, i) < 0)
            continue; /* none, or longer than any key */
        char *value = strchr(text, '=');
        if (value) *value++ = 0;
        for (size_t k = 0; k < sizeof names / sizeof names[0]; k++)
            if (strcasecmp(text, names[k]) == 0) return true;
        if (value && c->server->keys.n > 0 && srv_keys_allow(&c->server->keys, value)) return true;
    }
    return false;
}
