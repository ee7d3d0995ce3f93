/* opts.h: options of a command from one table: parsing, checks and --help; the only door to popt. */
#ifndef CLI_OPTS_H
#define CLI_OPTS_H

#include "core/status.h"

typedef enum pl_opt_kind {
    PL_OPT_FLAG,                /* bool */
    PL_OPT_TEXT,                /* const char * */
    PL_OPT_INT,                 /* int32_t, low .. high */
    PL_OPT_SEED,                /* uint64_t */
    PL_OPT_REAL,                /* double, low .. high */
    PL_OPT_SIZE,                /* int64_t bytes: "200M", "1.5GiB" */
    PL_OPT_CHOICE,              /* int32_t: index into `names`, separated by '|' */
    PL_OPT_LIST                 /* pl_opt_list: a text for each time it is given */
} pl_opt_kind;

typedef struct pl_opt_list { const char *text[64]; int count; } pl_opt_list;

typedef struct pl_opt {
    const char *name;           /* without dashes */
    char letter;                /* 0: none */
    pl_opt_kind kind;
    void *value;                /* keeps its value when the option is not given */
    const char *argument;       /* shown in help: "FILE" */
    const char *help;
    double low, high;           /* INT, REAL */
    const char *names;          /* CHOICE */
} pl_opt;

typedef struct pl_usage {
    const char *command;        /* "convert" */
    const char *arguments;      /* "MODEL -o OUT.gguf --type TYPE" */
    const char *summary;        /* one paragraph */
    const char *example;        /* lines that can be pasted */
    int positional;             /* how many arguments without dashes, exactly or (if `most` is more) at least */
    int most;                   /* up to so many; 0: positional */
} pl_usage;

/* Parses argv[1..]. positional [the larger of usage's two], of which those not given stay as they are. *help is true
 * when --help was asked for and shown: the command returns PL_OK at once. Strings live until the process ends.
 * PL_E_WISH names the option, what was expected and what was found. */
pl_status pl_opts_parse(int argc, const char **argv, const pl_usage *usage, const pl_opt *opts,
                        int count, const char **positional, bool *help);

#endif
