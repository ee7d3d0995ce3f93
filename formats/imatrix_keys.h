/* imatrix_keys.h: names in the GGUF form of activation statistics. */
#ifndef FORMATS_IMATRIX_KEYS_H
#define FORMATS_IMATRIX_KEYS_H

#include "formats/gguf.h"

#define PL_IMATRIX_TYPE "imatrix"       /* of general.type */
#define PL_IMATRIX_DATASETS "imatrix.datasets"
#define PL_IMATRIX_CHUNKS "imatrix.chunk_count"
#define PL_IMATRIX_CHUNK_SIZE "imatrix.chunk_size"
/* Behind a matrix's name. Plain sums are ours and some other writers'; readers may pass them over. */
#define PL_IMATRIX_SUM2 ".in_sum2"
#define PL_IMATRIX_COUNTS ".counts"
#define PL_IMATRIX_SUM ".in_sum"

#endif
