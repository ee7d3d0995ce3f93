# inspect_models.sh: what is said of each architecture.
for model in "$SOURCE"/tests/tiny/models/*; do
    planish inspect "$model" 2> /dev/null | sed '/^$/,$d'
    echo
done
