/* Runs a fuzz target on every file of the folders given, without libFuzzer: what fuzzing once
 * found stays found in every build. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static int run_file(const char *path)
{
    struct stat status;
    if (stat(path, &status)) return -1;
    if (!S_ISREG(status.st_mode)) return 0;
    size_t n = (size_t)status.st_size;
    uint8_t *bytes = malloc(n ? n : 1);
    FILE *f = fopen(path, "rb");
    int err = !bytes || !f || fread(bytes, 1, n, f) != n;
    if (!err) LLVMFuzzerTestOneInput(bytes, n);
    if (f) fclose(f);
    free(bytes);
    return err ? -1 : 1;
}

/* Returns the number of files run, or -1. */
static int run_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    if (!dir) return -1;
    int n_files = 0, n = 0;
    for (struct dirent *entry; n >= 0 && (entry = readdir(dir));) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        n = run_file(path);
        n_files += n;
    }
    closedir(dir);
    return n < 0 ? -1 : n_files;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        int n = run_folder(argv[i]);
        printf("%s: %d files\n", argv[i], n);
        if (n <= 0) return EXIT_FAILURE; /* an unreadable or empty folder proves nothing */
    }
    return EXIT_SUCCESS;
}
