"""make_iq_grids.py: writes iq_grid_data.c, the grids of the IQ types as the PyPI package gguf states them.

usage: make_iq_grids.py >core/iq_grid_data.c
"""
from gguf import quants

GRIDS = ["IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ1_S"]
COLUMNS = 100

print("""/* iq_grid_data.c: the grids of the IQ types in hexadecimal digits; made by make_iq_grids.py, which says from
 * what, and read by iq_grids.c, which says how. */
#include "core/iq_grids.h"

const char *const pl_iq_grid_hex[PL_IQ_GRIDS] = {""")
for name in GRIDS:
    digits = getattr(quants, name).grid_hex.decode().lower()
    lines = [digits[i:i + COLUMNS] for i in range(0, len(digits), COLUMNS)]
    print(f"    [PL_GRID_{name}] =")
    print("\n".join(f'        "{line}"' for line in lines) + ",")
print("};")
