/* imatrix_keys.h: names in the GGUF form of activation statistics. */
#ifndef FORMATS_IMATRIX_KEYS_H
#define FORMATS_IMATRIX_KEYS_H

#include "formats/gguf.h"

#define PL_IMATRIX_TYPE "imatrix"       /* of general.type */
#define PL_IMATRIX_DATASETS "imatrix.datasets"
#define PL_IMATRIX_CHUNKS "imatrix.chunk_count"
#define PL_IMATRIX_CHUNK_SIZE "imatrix.chunk_size"
/* Behind a matrix's name. The plain sums that some writers add are of no use to us. */
#define PL_IMATRIX_SUM2 ".in_sum2"
#define PL_IMATRIX_COUNTS ".counts"
#define PL_IMATRIX_SUM ".in_sum"

#endif
