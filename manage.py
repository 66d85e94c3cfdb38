#!/usr/bin/env python
"""FonProxy's command line in a checkout."""

from fonproxy.__main__ import main

if __name__ == "__main__":
    main()
