/* side.c: files that go with the weights: loaded, or copied in windows. */
#include "formats/side.h"

#include "core/mem.h"

pl_status pl_side_load(const pl_side *side, char **text)
{
    enum { LARGEST_CONFIG = 1 << 24 };
    pl_file *file;
    *text = NULL;
    if (side->bytes > LARGEST_CONFIG)
        return pl_fail(PL_E_INPUT, "%s: %s has more than %d bytes", side->path, side->name, LARGEST_CONFIG);
    PL_TRY(pl_file_open(side->path, &file));
    *text = pl_alloc(side->bytes + 1, 1);
    pl_status code = *text ? pl_file_read(file, side->at, *text, (size_t)side->bytes) : PL_E_MEMORY;
    pl_file_close(file);
    return code;
}

pl_status pl_side_copy(const pl_side *side, pl_outfile *to, int64_t at)
{
    enum { WINDOW = 1 << 16 };
    pl_file *from;
    PL_TRY(pl_file_open(side->path, &from));
    uint8_t *window = pl_alloc(WINDOW, 1);
    pl_status code = window ? PL_OK : PL_E_MEMORY;
    for (int64_t done = 0; done < side->bytes && code == PL_OK; done += WINDOW) {
        size_t n = (size_t)pl_min64(WINDOW, side->bytes - done);
        code = pl_file_read(from, side->at + done, window, n);
        if (code == PL_OK) code = pl_outfile_write(to, at + done, window, n);
    }
    pl_free(window);
    pl_file_close(from);
    return code;
}
