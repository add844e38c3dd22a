"""Builds the wheel: the modules that every request runs through are compiled to machine code by mypyc, where a C compiler is at
hand. What is compiled and what is not behave alike; compiled code costs about half as much (docs/decisions/0049).

GATEWAY_COMPILE=0 builds a wheel of pure Python, GATEWAY_COMPILE=1 fails where it can not be compiled. Editable installs are
never compiled: they run the source as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMPILER = "mypy[mypyc]>=2.0"
# Errors of types are found by `make types`, with all libraries at hand, and not by whoever installs the gateway.
OPTIONS = ["--follow-imports=silent", "--ignore-missing-imports", "--no-warn-unused-ignores"]

SETUP = """
import sys
from mypyc.build import mypycify
from setuptools import setup

folder, *rest = sys.argv[1:]
modules = mypycify(rest, opt_level="3", debug_level="0")
setup(name="gateway", packages=[], ext_modules=modules, script_args=["build_ext", "--build-lib", folder, "--build-temp", "build"])
"""


def can_compile() -> bool:
    """Whether there are a C compiler and Python's headers."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    return shutil.which(compiler) is not None and Path(sysconfig.get_path("include"), "Python.h").exists()


class CompiledWheel(BuildHookInterface[Any]):
    """Its setting `modules` lists what is compiled, as paths."""

    def dependencies(self) -> list[str]:
        return [COMPILER, "setuptools"] if self._compiles() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable" or not self._compiles():
            return
        self._folder = tempfile.TemporaryDirectory()
        source, built = Path(self._folder.name, "source"), Path(self._folder.name, "built")
        shutil.copytree(Path(self.root, "gateway"), source / "gateway", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        command = [sys.executable, "-c", SETUP, str(built), *OPTIONS, *self.config["modules"]]
        done = subprocess.run(command, cwd=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"the gateway could not be compiled; GATEWAY_COMPILE=0 does without:\n{done.stdout}")
        for library in built.rglob("*.so"):
            build_data["force_include"][str(library)] = str(library.relative_to(built))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_folder"):
            self._folder.cleanup()

    def _compiles(self) -> bool:
        wanted = os.environ.get("GATEWAY_COMPILE", "")
        if wanted == "0":
            return False
        if wanted == "1" or can_compile():
            return True
        self.app.display_warning("no C compiler, or no headers of Python: the gateway is not compiled, and costs more")
        return False
