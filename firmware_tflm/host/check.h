/* One macro: a test is a program, and a failed check ends it. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                       \
    do {                                                                       \
        if (!(condition)) {                                                    \
            printf("%s:%d: failed: %s\n", __FILE__, __LINE__, #condition);     \
            exit(1);                                                           \
        }                                                                      \
    } while (0)

#endif
