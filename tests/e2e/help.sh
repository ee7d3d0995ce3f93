# help.sh: what each command says of itself.
try planish --help
try planish
for command in inspect calibrate convert check run bench layout; do try planish $command --help; done
