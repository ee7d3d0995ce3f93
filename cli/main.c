/* main.c: the table of commands; the only file that ends the process. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "core/cpu.h"
#include "core/fs.h"
#include "core/linalg.h"

static const pl_command *const commands[] = {
    &pl_cmd_inspect, &pl_cmd_calibrate, &pl_cmd_convert, &pl_cmd_merge, &pl_cmd_check, &pl_cmd_run, &pl_cmd_bench,
    &pl_cmd_verify_load, &pl_cmd_diff, &pl_cmd_layout,
};

static void show_help(void)
{
    printf("planish makes neural-network checkpoints small and proves what was lost.\n\n"
           "Usage: planish COMMAND ...\n\nCommands:\n");
    for (int i = 0; i < PL_COUNT(commands); i++)
        printf("  %-11s %s\n", commands[i]->name, commands[i]->summary);
    printf("\n'planish COMMAND --help' explains a command and shows an example.\n"
           "MODEL is a Hugging Face folder (config.json, tokenizer.json, *.safetensors), one\n"
           ".safetensors file beside its config.json, a GGUF file or a pack (.pl).\n\n"
           "Exit codes: 0 done; 1 a check missed its threshold; 2 usage or a wish that cannot be met;\n"
           "3 bad or unsupported input; 4 reading, writing or memory failed.\n");
}

static void show_version(void)
{
    char flags[64];
    printf("planish %s\nbuild: %s, compiler %s\nlinear algebra: %s\nCPU features in use: %s\n", PL_VERSION,
           PL_BUILD, __VERSION__, pl_linalg_version(), pl_cpu_names(pl_cpu_flags(), flags, sizeof flags));
}

/* Interrupted: nothing half-written stays behind, but what --resume can go on with. */
static void on_interrupt(int number)
{
    static const char kept[] = "\nplanish: interrupted; what is finished is kept: the same command with --resume goes "
                               "on\n";
    if (pl_outfile_unlink_all() && write(STDERR_FILENO, kept, sizeof kept - 1) < 0) _exit(PL_E_IO);
    signal(number, SIG_DFL);
    raise(number);
}

/* popt and OpenBLAS end the process where they get no memory, with a code that is a missed threshold's here. */
static bool in_command;

static void on_exit_of_library(void)
{
    if (!in_command) return;
    fprintf(stderr, "planish: a library ended the run, as it does when it is out of memory\n");
    _exit(PL_E_IO);
}

static pl_status run(int argc, const char **argv)
{
    if (argc < 2) {
        show_help();
        return PL_E_WISH;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        show_help();
        return PL_OK;
    }
    if (!strcmp(argv[1], "--version")) {
        show_version();
        return PL_OK;
    }
    for (int i = 0; i < PL_COUNT(commands); i++)
        if (!strcmp(argv[1], commands[i]->name)) return commands[i]->run(argc - 1, argv + 1);
    pl_fail(PL_E_WISH, "unknown command '%s'; 'planish --help' lists them", argv[1]);
    return PL_E_WISH;
}

int main(int argc, char **argv)
{
    signal(SIGXFSZ, SIG_IGN);       /* a file-size limit becomes a failed write with a sentence */
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    signal(SIGHUP, on_interrupt);
    pl_ui_start(false, getenv("PLANISH_DEBUG") != NULL);
    pl_status code = pl_linalg_init();
    atexit(on_exit_of_library);
    in_command = true;
    if (code == PL_OK) code = run(argc, (const char **)argv);
    in_command = false;
    pl_ui_end();
    if (code <= PL_E_CHECK && pl_ui_flush() != PL_OK) code = PL_E_IO;
    if (code > PL_E_CHECK && pl_error()[0]) fprintf(stderr, "planish: %s\n", pl_error());
    pl_ranks_end();                 /* then only, as the first process to end with an error takes the others with it */
    return pl_status_exit(code);
}
