/* zst.h: the only door to libzstd. */
#ifndef CORE_ZST_H
#define CORE_ZST_H

#include "core/status.h"

enum { PL_ZSTD_LEVELS = 19 };           /* 1 .. 19 */

/* One frame that says how long its content is. *out_len: 0 if it would need more than `room` bytes. The same bytes for
 * the same version of the library, whatever the machine. */
pl_status pl_zstd_pack(const void *data, size_t len, int level, void *out, size_t room, size_t *out_len);
/* One frame to exactly `len` bytes; PL_E_INPUT if it is none or has another length. */
pl_status pl_zstd_unpack(const void *frame, size_t frame_len, void *out, size_t len);

#endif
