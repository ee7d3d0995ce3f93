# version.sh: the version and what the program was built with.
try planish --version
