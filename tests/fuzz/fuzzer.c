/* fuzzer.c: the targets as a libFuzzer program; the environment variable PLANISH_FUZZ names one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/mutate.h"

static const fuzz_target *target;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t most, unsigned seed);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *name = getenv("PLANISH_FUZZ");
    target = name ? fuzz_find(name) : NULL;
    if (target) return 0;
    fprintf(stderr, "PLANISH_FUZZ should be one of:");
    for (int i = 0; fuzz_targets[i]; i++) fprintf(stderr, " %s", fuzz_targets[i]->name);
    fprintf(stderr, "\n");
    exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    fuzz_run(target, data, len);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t len, size_t most, unsigned seed)
{
    bool memory = !strcmp(target->name, "memory");
    if (!memory) return fuzz_mutate(target->kinds, data, len, most, seed);
    if (len < 4 || most < len || seed % 4 == 0) return LLVMFuzzerMutate(data, len, most);
    if (seed % 4 == 1) data[0] = (uint8_t)(seed >> 8);
    const fuzz_target *inner = fuzz_targets[data[2] % 10];
    return 3 + fuzz_mutate(inner->kinds, data + 3, len - 3, most - 3, seed);
}
