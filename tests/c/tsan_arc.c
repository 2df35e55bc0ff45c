/*
 * Linked into the tests for ThreadSanitizer, with `-Wl,--wrap=__tsan_atomic64_fetch_sub`.
 *
 * The last owner of a Rust Arc counts down with Release and then says `fence(Acquire)`. ThreadSanitizer does not
 * know fences, and takes the end of every Arc for a race with whoever used it last. To it each such step is told
 * as AcqRel, which says the same of the last owner. Of other owners it says more than is true, so a race that such
 * a step alone would have to prevent stays unseen; all else is seen.
 */
#include <stdint.h>

uint64_t __real___tsan_atomic64_fetch_sub(volatile uint64_t *at, uint64_t value, int order);
uint64_t __wrap___tsan_atomic64_fetch_sub(volatile uint64_t *at, uint64_t value, int order);

uint64_t __wrap___tsan_atomic64_fetch_sub(volatile uint64_t *at, uint64_t value, int order)
{
    return __real___tsan_atomic64_fetch_sub(at, value, order == __ATOMIC_RELEASE ? __ATOMIC_ACQ_REL : order);
}
