/* layout_pack.h: moving elements of any width into the order of a layout, and back. */
#ifndef CORE_LAYOUT_PACK_H
#define CORE_LAYOUT_PACK_H

#include "core/layout.h"

/* Arrays of elements of 1 to 64 bits: element p is the bits from bits x p on, bit k of an array being bit k % 8 of its
 * byte k / 8, the lowest first. in and out do not overlap.
 *
 * pack: out[p] = in[l(p)] for p = 0 .. size-1; bits behind the last element of out become 0.
 * unpack: out[l(p)] = in[p]; other elements of out stay. Fails where two p have one place.
 *
 * in_bytes, out_bytes: what the arrays hold; PL_E_INPUT if that is less than the layout reaches. A swizzle may be found
 * to reach too far on the way: then part of out is written. Layouts that move bytes, or fields of bytes by powers of
 * two, take fast paths with the same result. One thread: the caller cuts work by its outermost modes. */
pl_status pl_layout_pack(const pl_composed *l, int bits, const void *in, int64_t in_bytes, void *out,
                         int64_t out_bytes);
pl_status pl_layout_unpack(const pl_composed *l, int bits, const void *in, int64_t in_bytes, void *out,
                           int64_t out_bytes);

/* The definition, without fast paths. */
pl_status pl_layout_pack_generic(const pl_composed *l, int bits, const void *in, int64_t in_bytes, void *out,
                                 int64_t out_bytes);
pl_status pl_layout_unpack_generic(const pl_composed *l, int bits, const void *in, int64_t in_bytes, void *out,
                                   int64_t out_bytes);

/* The fast path that pl_layout_pack takes: "copy", "runs", "transpose", "words" (fields within 64 bits),
 * "inverse" (of one that moves words); "" for none. */
const char *pl_layout_pack_path(const pl_composed *l, int bits);

#endif
