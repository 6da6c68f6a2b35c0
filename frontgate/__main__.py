"""`python -m frontgate` is `frontgate`."""

from frontgate.cli.main import main

main()
