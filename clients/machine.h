/* The machine we run on: its clock, memory and processor. */
#ifndef CLI_MACHINE_H
#define CLI_MACHINE_H

#include <stdint.h>

/** Seconds of a clock that only goes forward. */
double cli_clock(void);

/** Seconds that cores have worked for this program, all its threads together. */
double cli_cpu_clock(void);

/** Most memory this program has had so far, in bytes. */
uint64_t cli_peak_memory(void);

/** The processor's name, as the system tells it; static text. */
const char *cli_cpu_name(void);

/** Billions of float operations a second (a fused multiply-add is two) that this core can do at
 *  most with the kernels of that name, measured for some 20 ms; 0 where this build lacks them. */
double cli_peak_gflops(const char *kernel);

/** The same of products in 8 bits and their sums in 32, in billions of integer operations a second. */
double cli_peak_int8_gops(const char *kernel);

#endif
