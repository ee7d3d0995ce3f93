/* planish-layout.h: layouts (shape:stride index functions) as a library of its own, for whatever can call C. */
#ifndef CORE_PLANISH_LAYOUT_H
#define CORE_PLANISH_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* docs/layouts.md explains the notation and each operation by examples. They are those of CuTe (CUTLASS's
 * documentation; arXiv 2603.02298).
 *
 * A layout is PLANISH_LAYOUT_WORDS numbers: its modes m (1 to 32), the swizzle's bits, base and shift, the offset, then
 * 32 shapes, 32 strides, and for each mode how many parentheses open in front of it and close behind it (32 each). Only
 * the first m of each 32 count. It stands for swizzle(offset + layout(index)); the operations of the algebra take
 * layouts without swizzle and offset.
 *
 * Every function returns 0, or fails: then planish_layout_message() says why, and outputs stay as they were (but what
 * unpacking by a swizzle wrote before it left the array). Any thread may call any function; there is no state but the
 * message, which each thread has for itself. */
enum { PLANISH_LAYOUT_MODES = 32, PLANISH_LAYOUT_WORDS = 5 + 4 * PLANISH_LAYOUT_MODES, PLANISH_LAYOUT_TEXT = 4096 };

/* Of this version of the library. */
const char *planish_layout_version(void);
/* One sentence about this thread's last failure. */
const char *planish_layout_message(void);

/* "(4,(2,3)):(2,(1,8))", "(4,8)", "S<3,4,3> o 0 o (8,8):(8,1)", or a packed format's name: "q4_k",
 * "marlin[K=64,N=128]". */
int planish_layout_parse(const char *text, int64_t *layout);
/* Fails if `room` bytes do not hold the text and its NUL; PLANISH_LAYOUT_TEXT always do. */
int planish_layout_print(const int64_t *layout, char *text, size_t room);
/* Not nested: modes numbers each. */
int planish_layout_make(int modes, const int64_t *shape, const int64_t *stride, int64_t *layout);

int planish_layout_size(const int64_t *layout, int64_t *size);
int planish_layout_cosize(const int64_t *layout, int64_t *cosize);      /* without swizzle and offset */
int planish_layout_rank(const int64_t *layout, int64_t *rank);
int planish_layout_depth(const int64_t *layout, int64_t *depth);
/* Places of indices first .. first+count-1. */
int planish_layout_eval(const int64_t *layout, int64_t first, int64_t count, int64_t *places);
/* Place of a coordinate, "(1,(0,2))" or with a number for a whole tuple. */
int planish_layout_at(const int64_t *layout, const char *coordinate, int64_t *place);
/* 1: no two indices have one place; the places are 0 .. size-1. */
int planish_layout_injective(const int64_t *layout, int *yes);
int planish_layout_bijective(const int64_t *layout, int *yes);

int planish_layout_coalesce(const int64_t *layout, int by_mode, int64_t *out);
/* out(i) = a(b(i)). */
int planish_layout_compose(const int64_t *a, const int64_t *b, int64_t *out);
/* Modes 0 .. count-1 of a with tiler[i x PLANISH_LAYOUT_WORDS]; count at most 8. */
int planish_layout_compose_modes(const int64_t *a, const int64_t *tiler, int count, int64_t *out);
int planish_layout_complement(const int64_t *layout, int64_t m, int64_t *out);
int planish_layout_right_inverse(const int64_t *layout, int64_t *out);
int planish_layout_left_inverse(const int64_t *layout, int64_t *out);
/* kind: 0 logical, 1 zipped, 2 tiled, 3 flat. count 0: one layout for the whole; else a tiler as above. */
int planish_layout_divide(int kind, const int64_t *a, const int64_t *tiler, int count, int64_t *out);
/* kind: 0 logical, 1 blocked, 2 raked. */
int planish_layout_product(int kind, const int64_t *a, const int64_t *b, int64_t *out);

/* out[p] = in[layout(p)] for elements of 1 to 64 bits, element p being bits x p and up, the lowest bit first; and
 * out[layout(p)] = in[p]. in_bytes, out_bytes: what the arrays hold. */
int planish_layout_pack(const int64_t *layout, int bits, const void *in, int64_t in_bytes, void *out,
                        int64_t out_bytes);
int planish_layout_unpack(const int64_t *layout, int bits, const void *in, int64_t in_bytes, void *out,
                          int64_t out_bytes);

#ifdef __cplusplus
}
#endif

#endif
