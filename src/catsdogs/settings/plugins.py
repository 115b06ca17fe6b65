"""No plugins of pydantic, unless somebody asks for them."""

import os


def leave_plugins_out() -> None:
    """To be called before pydantic is imported. It would read the entry points of every installed package, 18 ms
    where there are 250, and run their code in ours. PYDANTIC_DISABLE_PLUGINS= (empty) lets it."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
