/* kernels.c: the list of matrix kernels for a processor, and the choice of one for a matrix. */
#include "runtime-check/kernels.h"

#include "core/cpu.h"
#include "runtime-check/kernels_isa.h"

static bool takes(const pl_packed *w, int dtype)
{
    return w->type.scheme == &pl_scheme_plain && w->type.element == &pl_dtypes[dtype];
}

bool pl_takes_f32(const pl_packed *w) { return takes(w, PL_F32); }
bool pl_takes_f16(const pl_packed *w) { return takes(w, PL_F16); }
bool pl_takes_bf16(const pl_packed *w) { return takes(w, PL_BF16); }
bool pl_takes_q8_0(const pl_packed *w) { return takes(w, PL_Q8_0); }
bool pl_takes_q4_0(const pl_packed *w) { return takes(w, PL_Q4_0); }
bool pl_takes_q4_1(const pl_packed *w) { return takes(w, PL_Q4_1); }
bool pl_takes_q5_0(const pl_packed *w) { return takes(w, PL_Q5_0); }
bool pl_takes_q5_1(const pl_packed *w) { return takes(w, PL_Q5_1); }

bool pl_takes_affine(const pl_packed *w)
{
    return w->type.scheme == &pl_scheme_affine && w->type.group % 32 == 0 && w->type.group <= 128;
}

static bool takes_scaled(const pl_packed *w, int dtype)
{
    return w->type.scheme == &pl_scheme_scaled && w->type.element == &pl_dtypes[dtype] && w->cols % 32 == 0;
}

bool pl_takes_e2m1(const pl_packed *w)
{
    return takes_scaled(w, PL_F4_E2M1) && (w->type.group == 16 || w->type.group % 32 == 0);
}

bool pl_takes_e4m3(const pl_packed *w) { return takes_scaled(w, PL_F8_E4M3) && w->type.group % 32 == 0; }

void pl_kernels_add(pl_kernel_list *list, const pl_kernel *kernels, int count)
{
    for (int i = 0; i < count && list->count < PL_MAX_KERNELS; i++)
        list->kernel[list->count++] = &kernels[i];
}

void pl_kernels_init(pl_kernel_list *list, unsigned cpu_flags)
{
    list->count = 0;
    pl_kernels_ref(list);
    pl_kernels_affine(list);
    pl_kernels_micro(list);
#if defined(PL_X86)
    const unsigned avx512 = PL_CPU_AVX2 | PL_CPU_AVX512;
    const unsigned vnni = avx512 | PL_CPU_VNNI | PL_CPU_VBMI;
    if (cpu_flags & PL_CPU_AVX2) {
        pl_kernels_avx2(list);
        pl_kernels_avx2_blocks(list);
        pl_kernels_affine_avx2(list);
        pl_kernels_micro_avx2(list);
    }
    if ((cpu_flags & avx512) == avx512) pl_kernels_avx512(list);
    if ((cpu_flags & vnni) == vnni) {
        pl_kernels_vnni(list);
        pl_kernels_affine_vnni(list);
        pl_kernels_micro_vnni(list);
    }
#elif defined(PL_NEON)
    if (cpu_flags & PL_CPU_NEON) {
        pl_kernels_neon(list);
        pl_kernels_micro_neon(list);
    }
#else
    (void)cpu_flags;
#endif
}

const pl_kernel *pl_kernel_find(const pl_kernel_list *list, const pl_packed *w)
{
    for (int i = list->count - 1; i >= 0; i--)
        if (list->kernel[i]->takes(w)) return list->kernel[i];
    return NULL;
}
