/* The list of families, and what their configs have in common. A new family is a file family_NAME.c
 * and a line here. */
#include "src/family.h"

#include <string.h>

extern const struct tess_family tess_family_tessera;
extern const struct tess_family tess_family_hificodec, tess_family_languagecodec, tess_family_mimi;
extern const struct tess_family tess_family_encodec, tess_family_academicodec,
    tess_family_soundstream, tess_family_walloc;

static const struct tess_family *const families[] = {
    &tess_family_tessera,     &tess_family_encodec,   &tess_family_academicodec,
    &tess_family_soundstream, &tess_family_hificodec, &tess_family_languagecodec,
    &tess_family_mimi,        &tess_family_walloc,
};

const struct tess_family *tess_family_find(const char *name)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (!strcmp(families[i]->name, name)) return families[i];
    return NULL;
}

int tess_family_read_rates(const struct tess_config *config,
                           struct tess_blueprint *b,
                           struct tess_why *why)
{
    enum { MAX_CODEBOOKS = 64 }; /* bits of codebooks_legal */
    int legal[MAX_CODEBOOKS];
    const struct tess_key keys[] = {
        {"sample_rate",       1, 192000,        &b->sample_rate      },
        {"hop",               1, 4096,          &b->hop              },
        {"channels",          1, 2,             &b->channels         },
        {"entries",           2, 65536,         &b->n_entries        },
        {"codebooks",         1, MAX_CODEBOOKS, &b->n_codebooks      },
        {"codebooks_default", 1, MAX_CODEBOOKS, &b->codebooks_default},
    };
    int err = tess_config_keys(config, keys, sizeof keys / sizeof *keys, why);
    if (err) return err;
    int n =
        tess_config_ints(config, "codebooks_legal", 1, b->n_codebooks, legal, MAX_CODEBOOKS, why);
    if (n < 0) return n;
    for (int i = 0; i < n; i++)
        b->codebooks_legal |= UINT64_C(1) << (legal[i] - 1);
    if (b->codebooks_default > b->n_codebooks ||
        !(b->codebooks_legal >> (b->codebooks_default - 1) & 1))
        return tess_base_fail(why, TESS_E_MODEL,
                              "config: codebooks_default is %d, which is not in codebooks_legal",
                              b->codebooks_default);
    return tess_config_string(config, "arithmetic", b->arithmetic, sizeof b->arithmetic, why);
}
