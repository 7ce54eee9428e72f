/* Names of models in, open models out. A path is taken as it is; a bare name is looked for beside the
 * sources of a build tree, else in share/tessera/models of the prefix it was installed to, and then may
 * be a file's. */
#include "server/models.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int fail(const char *name, const char *why)
{
    fprintf(stderr, "tesserad: --model %s: %s\n", name, why);
    return 1;
}

static void installed_path(char path[PATH_MAX], const char *name)
{
    char self[PATH_MAX];
    ptrdiff_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = 0;
    char *slash = strrchr(self, '/');
    if (slash) *slash = 0;
    if (strncmp(self, TESS_BUILD_DIR "/", sizeof TESS_BUILD_DIR) == 0)
        snprintf(path, PATH_MAX, "%s/%.200s.safetensors", TESS_SOURCE_WEIGHTS, name);
    else
        snprintf(path, PATH_MAX, "%.3000s/" TESS_MODELS_FROM_BIN "/%.200s.safetensors", self, name);
}

static int open_one(struct srv_model *m, const char *given)
{
    const char *equals = strchr(given, '='), *file = equals ? equals + 1 : given;
    size_t n_name = equals ? (size_t)(equals - given) : 0;
    if (n_name >= sizeof m->name || (equals && n_name == 0))
        return fail(given, "a name has 1 to 63 bytes");
    char path[PATH_MAX];
    if (!strchr(file, '/')) installed_path(path, file);
    if (strchr(file, '/') || (access(path, F_OK) != 0 && access(file, F_OK) == 0))
        snprintf(path, sizeof path, "%s", file);

    struct tess_why why;
    if (tess_model_open(&m->model, path, NULL, &why) != 0) {
        fprintf(stderr, "tesserad: --model %s: %s: %s\n", given, path, why.text);
        return 1;
    }
    m->info.size = sizeof m->info;
    int error = tess_model_get_info(m->model, &m->info);
    if (error) return fail(given, tess_strerror(error));
    memcpy(m->name, n_name ? given : m->info.name, n_name ? n_name : sizeof m->name);
    for (int i = 0; i < 32; i++)
        snprintf(m->sha256 + 2 * i, 3, "%02x", m->info.sha256[i]);
    return 0;
}

int srv_models_open(struct srv_models *models, const struct srv_list *names)
{
    *models = (struct srv_models){0};
    for (int i = 0; i < names->n; i++) {
        if (open_one(&models->item[models->n++], names->item[i]) != 0) return 1;
        for (int j = 0; j < i; j++)
            if (strcmp(models->item[j].name, models->item[i].name) == 0)
                return fail(names->item[i], "two models of one name");
    }
    return 0;
}

void srv_models_close(struct srv_models *models)
{
    for (int i = 0; i < models->n; i++)
        tess_model_close(models->item[i].model);
    models->n = 0;
}

const struct srv_model *srv_models_find(const struct srv_models *models, const char *name)
{
    for (int i = 0; i < models->n; i++)
        if (!name || strcmp(models->item[i].name, name) == 0) return &models->item[i];
    return NULL;
}
