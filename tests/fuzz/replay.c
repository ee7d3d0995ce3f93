/* replay.c: runs committed inputs through their target, without a fuzzer: replay FOLDER... where each
 * folder has the name of its target and holds inputs. Ends with 0 if nothing broke. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fs.h"
#include "tests/fuzz/fuzz.h"

static int replay_folder(const char *folder)
{
    const char *slash = strrchr(folder, '/');
    const fuzz_target *target = fuzz_find(slash ? slash + 1 : folder);
    struct dirent **entry;
    int count = target ? scandir(folder, &entry, NULL, alphasort) : -1, inputs = 0;
    if (count < 0) {
        fprintf(stderr, "replay: %s: no folder with the name of a target\n", folder);
        exit(2);
    }
    for (int i = 0; i < count; i++) {
        char path[PATH_MAX], *data;
        size_t len;
        if (entry[i]->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", folder, entry[i]->d_name);
            fprintf(stderr, "%s\n", path);          /* the last one is what broke */
            if (pl_file_load(path, FUZZ_BYTES, &data, &len) != PL_OK) {
                fprintf(stderr, "replay: %s\n", pl_error());
                exit(2);
            }
            fuzz_run(target, (const uint8_t *)data, len);
            pl_free(data);
            inputs++;
        }
        free(entry[i]);
    }
    free(entry);
    return inputs;
}

int main(int argc, char **argv)
{
    int inputs = 0;
    for (int i = 1; i < argc; i++) {
        int found = replay_folder(argv[i]);
        printf("%s: %d inputs\n", argv[i], found);
        inputs += found;
    }
    return inputs ? 0 : 2;
}
