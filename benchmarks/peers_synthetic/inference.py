"""mbi 2 as it asks to be used: double precision, and no cache of compiled programs on disk."""

import jax

jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
jax.config.update("jax_enable_compilation_cache", False)  # type: ignore[no-untyped-call]

import mbi  # noqa: E402 - it looks at both when it is imported

__all__ = ["mbi"]

__all__ = ["mbi"]
