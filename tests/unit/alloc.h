/*
 * The allocator of the unit tests: counts live blocks and makes one allocation fail. It stands in
 * for malloc, calloc, realloc, strdup, strndup and free (the linker's --wrap) in everything linked
 * statically into a test: the test itself and the project's libraries. What shared libraries
 * (libxml2, libidn, libgsasl, cmocka) allocate is neither counted nor made to fail.
 *
 * The usual loop, which visits every allocation of an operation:
 *
 *     for (long n = 0, hit = 1; hit; n++) {
 *         alloc_track_on();
 *         alloc_fail_after(n);
 *         result = operation(&out);
 *         hit = alloc_failed();
 *         alloc_fail_off();
 *         assert_int_equal(result, hit ? X_NO_MEMORY : X_OK);
 *         operation_done(&out);
 *         assert_int_equal(alloc_live(), 0);
 *         alloc_track_off();
 *     }
 */
#pragma once

#include <stdbool.h>

/* Counts from zero / counts no longer and forgets. Blocks made before are not counted, and freeing
 * them changes nothing. */
void alloc_track_on(void);
void alloc_track_off(void);
/* Live blocks among those made since alloc_track_on. */
long alloc_live(void);

/* After n more allocations the next one fails, and only that one (n = 0: the very next). */
void alloc_fail_after(long n);
void alloc_fail_off(void); /* alloc_failed still tells */
/* Whether the failure asked for last has happened. */
bool alloc_failed(void);
