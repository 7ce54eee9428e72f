/* The list of families. A new one is a file family_NAME.c and a line here. */
#include "src/family.h"

#include <string.h>

extern const struct tess_family tess_family_tessera;
extern const struct tess_family tess_family_encodec, tess_family_academicodec,
    tess_family_soundstream;

static const struct tess_family *const families[] = {
    &tess_family_tessera,
    &tess_family_encodec,
    &tess_family_academicodec,
    &tess_family_soundstream,
};

const struct tess_family *tess_family_find(const char *name)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (!strcmp(families[i]->name, name)) return families[i];
    return NULL;
}
