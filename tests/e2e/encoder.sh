# encoder.sh: a sentence encoder: converted, compared by its embeddings, and what it cannot do.
encoder=$SOURCE/tests/tiny/models/bert
planish convert "$encoder" -o q8.gguf --type q8_0 -j 2 > /dev/null
try planish check q8.gguf --against "$encoder" --text "$tales" --chunks 30 -j 2
try planish check q8.gguf --against "$encoder" --text "$tales" --chunks 30 -j 2 --min-cosine 0.999
try planish check q8.gguf --against "$encoder" --text "$tales" --chunks 30 -j 2 --min-cosine 0.99999
planish check q8.gguf --against "$encoder" --text "$tales" --chunks 30 -j 2 --json report.json > /dev/null
ask report.json '[d[k] for k in ("protocol", "chunks", "ppl", "kld_mean", "cos_floor", "passed")]'
# It predicts nothing, so thresholds of predictions and going on with a text make no sense.
try planish check q8.gguf --against "$encoder" --text "$tales" --max-kld 1
try planish check q8.gguf --text "$tales"
try planish run q8.gguf -p 'once upon a time'
try planish bench q8.gguf
# A decoder beside it, or a threshold that is not a decoder's.
try planish check q8.gguf --against "$stories" --text "$tales"
try planish check "$stories" --against "$stories" --text "$tales" --min-cosine 0.9
