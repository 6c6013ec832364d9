"""What installed packages offer is found by name, and imported when it is used."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from stargazer import plugins
from stargazer.errors import PluginError
from stargazer.plugins import Plugin, PluginWarning


def install(site: Path, name: str, entry_points: str, **modules: str) -> None:
    """Lay a package where it counts as installed."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    for module, text in modules.items():
        (site / f"{module}.py").write_text(text)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    return folder


def test_a_plugin_is_loaded_when_it_is_used_and_not_before(site: Path) -> None:
    assert plugins.find("stargazer.assets", "plugged_one") is None
    install(site, "plugged", "[stargazer.assets]\nplugged_one = plugged_module:VALUE\n", plugged_module="VALUE = 7\n")
    found = [each for each in plugins.plugins("stargazer.assets") if each.name == "plugged_one"]
    assert found == [Plugin("stargazer.assets", "plugged_one", "plugged_module:VALUE", "plugged 1.0")]
    assert "plugged_module" not in sys.modules
    assert plugins.find("stargazer.assets", "plugged_one") == 7
    assert plugins.find("stargazer.remotes", "plugged_one") is None


def test_what_is_installed_meanwhile_is_found(site: Path) -> None:
    for number in range(3):
        install(site, f"late{number}", f"[stargazer.tasks]\nlate{number} = late:x\n")
        os.utime(site, ns=(number, number))  # two changes within a tick of the clock look the same
        assert f"late{number}" in [each.name for each in plugins.plugins("stargazer.tasks")]


def test_one_name_of_two_packages_is_refused_with_both(site: Path) -> None:
    for name in ("left", "right"):
        install(site, name, f"[stargazer.remotes]\nbucket = {name}_module:x\n")
    with pytest.raises(PluginError, match=r"'bucket' .* left 1\.0 \(left_module:x\) and right 1\.0 .*: uninstall one"):
        plugins.find("stargazer.remotes", "bucket")


def test_a_broken_package_is_named_and_the_others_stay(site: Path) -> None:
    install(site, "broken", "[stargazer.profiles]\nbad = plugged_bad:x\n", plugged_bad="1 / 0\n")
    install(site, "sound", "[stargazer.profiles]\ngood = plugged_good:x\n", plugged_good="x = 'fine'\n")
    with pytest.raises(PluginError, match=r"broken 1\.0 offers 'bad' as plugged_bad:x .*ZeroDivisionError"):
        plugins.find("stargazer.profiles", "bad")
    with pytest.warns(PluginWarning, match=r"left out: broken 1\.0 offers 'bad'"):
        loaded = {each.name: value for each, value in plugins.load_all("stargazer.profiles")}
    assert loaded["good"] == "fine"
    assert "bad" not in loaded


def test_a_package_that_is_found_twice_counts_once(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (site, tmp_path / "again"):
        install(folder, "twice", "[stargazer.backends]\ntwice = twice_module:x\n", twice_module="x = 2\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "again")])
    assert plugins.find("stargazer.backends", "twice") == 2
