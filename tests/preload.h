/* What the libraries that tests put before the C library by LD_PRELOAD begin with. */
#ifndef TESS_TESTS_PRELOAD_H
#define TESS_TESTS_PRELOAD_H

#include <dlfcn.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
/* The C library's function of that name. */
#define REAL(name)                                                                                 \
    static __typeof__(name) *real;                                                                 \
    if (!real) {                                                                                   \
        void *found = dlsym(RTLD_NEXT, #name);                                                     \
        memcpy(&real, &found, sizeof real);                                                        \
    }

#endif
