"""The files that an experiment is made of, and their hash."""

import sys

from user_modules import EXPERIMENT, MODELS, Write

from scythe_cli.experiment import experiment
from scythe_cli.experiment.experiment import Experiment


class TestSource:
    def found(self, write: Write, folder: str, **files: str) -> Experiment:
        home = write(folder, **{"models": MODELS, "exp": EXPERIMENT, "helper": "HEAT = 1"} | files)
        return experiment.load("exp:simulate", home)

    def test_the_files_are_the_modules_own_and_what_they_import(self, write: Write) -> None:
        helper = """
            import os, json, polars
            from typing import TYPE_CHECKING
            if TYPE_CHECKING:
                import typed
            def late():
                from pkg.deep import leaf
            HEAT = 1
        """
        found = self.found(
            write,
            "a",
            helper=helper,
            typed="",
            unused="",
            pkg__deep__leaf="from . import beside\nfrom .. import above\nfrom ...too_far import x",
            pkg__deep__beside="",
            pkg__above="",
            pkg__unused="",
        )
        (found.folder / "pkg" / "__init__.py").touch()
        assert list(found.sources) == [
            "exp.py",
            "helper.py",
            "models.py",
            "pkg/__init__.py",
            "pkg/above.py",
            "pkg/deep/beside.py",
            "pkg/deep/leaf.py",
            "typed.py",
        ]
        assert found.sources["typed.py"] == found.folder / "typed.py"

    def test_the_hash_is_the_same_elsewhere_and_with_other_line_ends(self, write: Write) -> None:
        one, two = self.found(write, "a"), self.found(write, "b")
        (two.folder / "helper.py").write_bytes(b"HEAT = 1")
        assert one.source_hash == two.source_hash
        assert len(one.source_hash) == 64
        windows = self.found(write, "c")
        for file in windows.sources.values():
            file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
        assert windows.source_hash == one.source_hash

    def test_the_hash_sees_a_change_in_any_of_them_and_nowhere_else(self, write: Write) -> None:
        one = self.found(write, "a").source_hash
        assert self.found(write, "b", helper="HEAT = 2").source_hash != one
        assert self.found(write, "c", models=MODELS + "\n# a comment").source_hash != one
        assert self.found(write, "d", unrelated="X = 1").source_hash == one

    def test_installed_packages_do_not_count(self, write: Write) -> None:
        folder = write(models=MODELS, exp=EXPERIMENT, helper="HEAT = 1\nfrom venv_thing import x")
        library = folder / "lib" / "site-packages"
        library.mkdir(parents=True)
        (library / "venv_thing.py").write_text("x = 1")
        sys.path.insert(0, str(library))
        assert list(experiment.load("exp:simulate", folder).sources) == ["exp.py", "helper.py", "models.py"]
