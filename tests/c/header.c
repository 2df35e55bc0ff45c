/* The header alone, twice: it needs nothing before it and bears being included again. Compiled only, under
 * every standard the tests name; `nm` must find nothing of it in the object. */
#include "trimtab.h"
#include "trimtab.h"

/* Both spellings of a type work. */
struct trimtab_pick pick_of(const struct trimtab_pool *pool);
trimtab_pick other_pick_of(const trimtab_pool *pool);

/* The constants are constants. */
typedef char has_codes[TRIMTAB_E_CLOSED == -11 && TRIMTAB_OK == 0 ? 1 : -1];
typedef char has_no_time[TRIMTAB_NO_TIME == UINT64_MAX ? 1 : -1];
#if TRIMTAB_VERSION_MAJOR > 1000
#error "a version is a number the preprocessor can compare"
#endif
