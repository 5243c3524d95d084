"""`python -m pyg_hag.cli`."""

from pyg_hag.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
