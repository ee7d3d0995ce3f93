/* runtimes.h: what is known of the programs that load planish's outputs: from which version on, and how one tries. */
#ifndef CLI_RUNTIMES_H
#define CLI_RUNTIMES_H

#include "core/base.h"

/* A version that is known to load outputs of a format with a certain feature; NULL: of the format at all. An older one
 * may do so too. Of a runtime and format, rows stand from the oldest version to the newest. */
typedef struct pl_runtime_fact {
    const char *format, *runtime;
    const char *feature;        /* a pattern as file names have them */
    const char *from;           /* NULL: not known */
} pl_runtime_fact;

/* How loading is tried: a program with its arguments, or a Python script. */
typedef struct pl_runtime_trial {
    const char *formats;        /* names between spaces */
    const char *runtime;
    const char *program;        /* of llama.cpp; NULL: Python */
    const char *argv[12];       /* behind the program's name; "%" is the output */
    const char *modules;        /* that Python must have, between spaces */
    const char *script;         /* `path` is the output; raises what is wrong, ends with print(its version) */
} pl_runtime_trial;

extern const pl_runtime_fact pl_runtime_facts[];
extern const int pl_runtime_facts_count;
extern const pl_runtime_trial pl_runtime_trials[];
extern const int pl_runtime_trials_count;

/* Begins every script: exit code PL_RUNTIME_ABSENT without one of the modules. */
extern const char pl_runtime_prelude[];
enum { PL_RUNTIME_ABSENT = 66 };

#endif
