/* kernels_isa.h: what the kernel files share: which matrices they take, and their entry points. */
#ifndef RUNTIME_CHECK_KERNELS_ISA_H
#define RUNTIME_CHECK_KERNELS_ISA_H

#include "core/blocks.h"
#include "core/kernel.h"

/* Is it a plain matrix of that element type? Shared by the variants of a type. */
bool pl_takes_f32(const pl_packed *w);
bool pl_takes_f16(const pl_packed *w);
bool pl_takes_bf16(const pl_packed *w);
bool pl_takes_q8_0(const pl_packed *w);
bool pl_takes_q4_0(const pl_packed *w);
bool pl_takes_q4_1(const pl_packed *w);
bool pl_takes_q5_0(const pl_packed *w);
bool pl_takes_q5_1(const pl_packed *w);

/* Groups of whole blocks of 32. */
bool pl_takes_affine(const pl_packed *w);
/* Codes with scales for groups of whole blocks of 32, or of 16 (4 bits), of rows of whole blocks. */
bool pl_takes_e2m1(const pl_packed *w);
bool pl_takes_e4m3(const pl_packed *w);

/* Each adds its kernels behind those already there, and sets what else it does faster. */
void pl_kernels_ref(pl_kernel_list *list);
void pl_kernels_avx2(pl_kernel_list *list);             /* floats, quantize */
void pl_kernels_avx2_blocks(pl_kernel_list *list);      /* block types */
void pl_kernels_avx512(pl_kernel_list *list);           /* floats, quantize */
void pl_kernels_vnni(pl_kernel_list *list);             /* block types */
void pl_kernels_neon(pl_kernel_list *list);             /* all, quantize */
void pl_kernels_affine(pl_kernel_list *list);           /* MLX's affine types */
void pl_kernels_affine_avx2(pl_kernel_list *list);
void pl_kernels_affine_vnni(pl_kernel_list *list);
void pl_kernels_micro(pl_kernel_list *list);            /* 4- and 8-bit floats with scales */
void pl_kernels_micro_avx2(pl_kernel_list *list);
void pl_kernels_micro_vnni(pl_kernel_list *list);
void pl_kernels_micro_neon(pl_kernel_list *list);

/* Puts kernels[0 .. count-1] behind the others. */
void pl_kernels_add(pl_kernel_list *list, const pl_kernel *kernels, int count);

/* Loops of the bandwidth measurement: the sum of the 64-bit words of `data`; bytes: a multiple
 * of 4096. */
typedef uint64_t (*pl_read_loop)(const uint8_t *data, int64_t bytes);
uint64_t pl_read_avx512(const uint8_t *data, int64_t bytes);
uint64_t pl_read_avx512_ahead(const uint8_t *data, int64_t bytes);      /* software prefetch */
uint64_t pl_read_avx512_streams(const uint8_t *data, int64_t bytes);    /* eight places at once */

#endif
