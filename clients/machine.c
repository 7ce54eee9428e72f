/* What the system and a stopwatch tell about the machine. */
#include "machine.h"

#include "peak.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double cli_clock(void)
{
    return seconds(CLOCK_MONOTONIC);
}

double cli_cpu_clock(void)
{
    return seconds(CLOCK_PROCESS_CPUTIME_ID);
}

uint64_t cli_peak_memory(void)
{
    /* getrusage's figure outlives exec on Linux and would be our parent's; VmHWM is ours. */
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    unsigned long long kilobytes = 0;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %llu", &kilobytes) == 1) break;
    if (f) fclose(f);
    struct rusage usage;
    if (kilobytes == 0 && getrusage(RUSAGE_SELF, &usage) == 0)
        kilobytes = (unsigned long long)usage.ru_maxrss;
    return kilobytes * 1024;
}

static const struct kernels {
    const char *name;
    cli_peak_rounds *floats, *integers;
} kernels[] = {
    {"scalar", cli_peak_rounds_scalar, cli_peak_rounds_int8_scalar},
#ifdef TESS_HAVE_AVX2
    {"avx2",   cli_peak_rounds_avx2,   cli_peak_rounds_int8_avx2  },
#endif
#ifdef TESS_HAVE_AVX512
    {"avx512", cli_peak_rounds_avx512, cli_peak_rounds_int8_avx512},
#endif
#ifdef TESS_HAVE_NEON
    {"neon",   cli_peak_rounds_neon,   cli_peak_rounds_int8_neon  },
#endif
};

static double measure(cli_peak_rounds *rounds)
{
    enum { AT_ONCE = 10000 };
    float sink[16];
    double operations = 0, start = cli_cpu_clock(), spent;
    do {
        operations += (double)AT_ONCE * rounds(AT_ONCE, sink);
        spent = cli_cpu_clock() - start;
    } while (spent < 0.02);
    return operations / spent / 1e9;
}

static const struct kernels *find(const char *name)
{
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++)
        if (strcmp(kernels[i].name, name) == 0) return &kernels[i];
    return NULL;
}

double cli_peak_gflops(const char *kernel)
{
    const struct kernels *found = find(kernel);
    return found ? measure(found->floats) : 0;
}

double cli_peak_int8_gops(const char *kernel)
{
#ifdef TESS_HAVE_AVX512 /* which came before its instructions for bytes: src/gemm8.c */
    if (strcmp(kernel, "avx512") == 0 && !__builtin_cpu_supports("avx512vnni")) kernel = "avx2";
#endif
    const struct kernels *found = find(kernel);
    return found ? measure(found->integers) : 0;
}

const char *cli_cpu_name(void)
{
    static char name[128];
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[256];
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "model name : %127[^\n]", name) == 1) break;
    if (f) fclose(f);
    return name[0] ? name : "unknown";
}
