/* cmocka, after the headers it needs before it. */
#ifndef TESS_CHECK_H
#define TESS_CHECK_H

/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#endif
