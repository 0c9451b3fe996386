"""What the project promises on its first page, and rules that no single module keeps."""

import fnmatch
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement

import kwslib
from kwslib.__main__ import _parser
from kwslib.cache import PROJECT_FOLDER

MAKEFILE = (PROJECT_FOLDER / "Makefile").read_text(encoding="utf-8")
README = (PROJECT_FOLDER / "README.md").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z]\w*):(?!=)", MAKEFILE, flags=re.MULTILINE))
# A folder of one person's or one machine's; the group keeps this line from finding itself.
MACHINE_PATH = re.compile(r"(?<![\w.:/}~-])/(?:home|root|Users|work|mnt|media)/[\w.-]+|\b[A-Z]:\\+Users\b")
TEXT = {".py", ".md", ".ipynb", ".toml", ".yml", ".yaml", ".lock", ".txt", ".json", ".csv", ".cff", ".mplstyle", ".h"}
TEXT |= {".cc", ".c", ".cpp", ".cmake", ".sh", "", ".svg"}


def requirements(lines):
    """Name to (specifier) of requirement lines, comments and pip options left out."""
    found = {}
    for line in lines:
        line = line.split(" #")[0].strip()
        if line and not line.startswith(("#", "-")):
            requirement = Requirement(line)
            found[requirement.name.lower().replace("_", "-")] = str(requirement.specifier)
    return found


def tracked_files():
    """Files of the checkout that git does not ignore; skips outside a checkout."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "-C", str(PROJECT_FOLDER), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, env=environment, capture_output=True, check=True).stdout.decode()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    paths = [PROJECT_FOLDER / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_commands_of_the_readme_exist():
    assert {"run", "test", "lab", "clean", "results"} <= TARGETS
    assert "make run" in README and "make test" in README
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", README, flags=re.MULTILINE))
    assert named <= TARGETS, f"no such target: {named - TARGETS}"


def test_kwslib_commands_of_the_documents_exist():
    known = next(action.choices for action in _parser()._actions if action.dest == "command")
    for name in ("README.md", "firmware_tflm/README.md", "results/README.md", "CONTRIBUTING.md"):
        text = (PROJECT_FOLDER / name).read_text(encoding="utf-8").replace("\\\n", " ")
        for line in re.findall(r"-m kwslib ([^`\n]+)", text):
            words = shlex.split(line, comments=True)
            if len(words) == 1:  # a command spoken of
                assert words[0] in known, f"{name}: {line}"
            else:
                _parser().parse_args(words)  # exits where the line is wrong


def test_the_automatic_check_runs_the_tests():
    path = PROJECT_FOLDER / ".ci" / "run"
    assert re.search(r"^make test$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert os.access(path, os.X_OK)
    recipe = re.search(r"^test:.*\n((?:\t.*\n)+)", MAKEFILE, flags=re.MULTILINE)[1]
    assert "pytest" in recipe and "ruff check" in recipe and "ruff format --check" in recipe


def test_both_ways_to_install_take_the_same_pinned_packages():
    assert "-r requirements.lock" in MAKEFILE
    environment = (PROJECT_FOLDER / "environment.yml").read_text(encoding="utf-8")
    assert re.search(r"^\s+- -r requirements\.lock$", environment, flags=re.MULTILINE)
    assert re.search(r"^\s+- python=3\.1[12]\b", environment, flags=re.MULTILINE)


def test_every_direct_requirement_is_pinned_and_locked():
    project = tomllib.loads((PROJECT_FOLDER / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    direct = requirements(project["dependencies"] + project["optional-dependencies"]["cluster"])
    locked = requirements((PROJECT_FOLDER / "requirements.lock").read_text(encoding="utf-8").splitlines())
    assert len(direct) > 10 and len(locked) > len(direct)
    assert all(re.fullmatch(r"==[\w.]+", specifier) for specifier in locked.values())
    assert {name: locked.get(name) for name in direct} == direct


def test_packages_that_the_code_imports_are_direct_requirements():
    project = tomllib.loads((PROJECT_FOLDER / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    options = project["optional-dependencies"]
    direct = set(requirements(project["dependencies"] + options["cluster"] + options["microphone"]))
    names = {"tensorflow_model_optimization": "tensorflow-model-optimization", "ai_edge_litert": "ai-edge-litert"}
    names |= {"tf_keras": "tf-keras", "tflite_micro": "tflite-micro", "espeakng_loader": "espeakng-loader"}
    names |= {"elftools": "pyelftools"}
    imported = set()
    for path in (PROJECT_FOLDER / "kwslib").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        imported |= set(re.findall(r"^\s*(?:import|from) (\w+)(?:[. ]|$)", text, flags=re.MULTILINE))
    outside = {names.get(name, name) for name in imported} - set(sys.stdlib_module_names) - {"kwslib"}
    assert {"numpy", "librosa", "tensorflow"} <= outside
    indirect = {"nbformat", "jupyter_client", "IPython"}  # they come with nbclient and with ipywidgets
    assert outside - indirect <= direct, f"not in pyproject.toml: {outside - indirect - direct}"


def test_no_file_holds_a_path_of_one_machine():
    found = []
    for path in tracked_files():
        if path.suffix.lower() in TEXT:
            for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
                found += [f"{path.name}:{number}: {hit}" for hit in MACHINE_PATH.findall(line)]
    assert not found


def test_the_search_for_paths_finds_paths():
    folder = "/".join(["", "home", "me"])
    for line in (f"open('{folder}/x.wav')", f"results in {folder}", f'"{folder}/data"', "C:" + "\\\\Users\\\\me"):
        assert MACHINE_PATH.search(line), line
    for line in ("https://example.org" + folder, "data/home/x", "#!/usr/bin/env bash", "../" + folder[1:], "a/b"):
        assert not MACHINE_PATH.search(line), line


def test_json_and_notebooks_are_valid_and_modules_small():
    for path in tracked_files():
        if path.suffix in (".json", ".ipynb"):
            json.loads(path.read_text(encoding="utf-8"))
        if path.parent.name == "kwslib" and path.suffix == ".py":
            assert len(path.read_text(encoding="utf-8").splitlines()) <= 300, path.name


def test_the_package_lists_its_modules():
    names = re.findall(r"`([\w*]+)`", kwslib.__doc__)
    modules = [path.stem for path in (PROJECT_FOLDER / "kwslib").glob("[a-z]*.py")]
    assert [module for module in modules if not any(fnmatch.fnmatch(module, name) for name in names)] == []
    assert [name for name in names if not fnmatch.filter(modules, name)] == []


def test_large_and_personal_files_are_not_in_the_repository():
    for path in tracked_files():
        assert path.stat().st_size < 5_000_000, path.name
        assert path.suffix.lower() not in (".wav", ".flac", ".npy", ".pkl", ".h5"), path.name


@pytest.mark.parametrize("module", ["kwslib", "kwslib.config", "kwslib.features", "kwslib.training", "kwslib.__main__"])
def test_imports_stay_fast(module):
    check = (
        f"import {module}, sys; print(sorted({{'tensorflow', 'tf_keras', 'librosa', 'matplotlib'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=PROJECT_FOLDER)
    assert done.stdout == "[]\n" and done.stderr == ""


def test_the_command_line_answers_without_tensorflow():
    check = "import sys\nfrom kwslib.__main__ import main\n"
    check += "try: main(['--help'])\nfinally: print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=PROJECT_FOLDER)
    assert "COMMAND" in done.stdout and done.stdout.endswith("False\n") and done.stderr == ""
