"""`python -m dit_grid.orchestrator` is `dit-grid`, where the environment's scripts are not on the path."""

from dit_grid.orchestrator.commands.cli import main

if __name__ == "__main__":
    main()
