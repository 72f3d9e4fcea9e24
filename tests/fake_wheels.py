"""Tiny wheels, and a stage for tests of assets: a shelf that real pip reads, and nothing else."""

import hashlib
import json
import os
import re
import zipfile
from pathlib import Path

__all__ = ["Shop", "alone_with", "write_wheel"]


def write_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    tag: str = "py3-none-any",
    needs: tuple[str, ...] = (),
    python: str = ">=3",
    files: dict[str, bytes] | None = None,
) -> Path:
    """Write a wheel that pip accepts; `needs` are its Requires-Dist lines."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Python: {python}\n"
    metadata += "".join(f"Requires-Dist: {line}\n" for line in needs)
    extras = re.findall(r"extra == '(\w+)'", " ".join(needs))
    metadata += "".join(f"Provides-Extra: {extra}\n" for extra in extras)
    tags = f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n"
    wheel = folder / f"{module}-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as package:
        for place, content in ({f"{module}.py": b""} if files is None else files).items():
            package.writestr(place, content)
        package.writestr(f"{info}/METADATA", metadata)
        package.writestr(f"{info}/WHEEL", tags)
        listed = [*package.namelist(), f"{info}/RECORD"]  # pip removes what is listed here
        package.writestr(f"{info}/RECORD", "".join(f"{each},,\n" for each in listed))
    return wheel


def alone_with(shelf: Path) -> dict[str, str]:
    """Settings with which pip sees a folder of wheels and nothing else."""
    return {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(shelf)}


class Shop:
    """A folder of wheels that real pip reads, and an empty cache of its own.

    `members` are the right bytes of every asset; `add` writes the registry entry for them.
    """

    def __init__(self, root: Path, monkeypatch):
        for name in list(os.environ):
            if name.upper().startswith("PIP_"):
                monkeypatch.delenv(name)
        self.members = {"a.bin": bytes(range(256)) * 8, "b.txt": b"some words\n" * 20}
        self.wheels = root / "wheels"
        self.cache = root / "cache"
        self.registry = root / "assets.toml"
        self.site = root / "site"
        self.entries: dict[str, str] = {}
        self.wheels.mkdir()
        monkeypatch.syspath_prepend(str(self.site))
        settings = alone_with(self.wheels) | {
            "COURSE_CACHE": str(self.cache),
            "COURSE_ASSETS": str(self.registry),
            "COURSE_PROGRESS": "0",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)

    def add(
        self, name, wheel_members=None, installed=False, hub=False, download_bytes=4000
    ) -> None:
        """Offer an asset: its wheel (or installed package) and its registry entry."""
        if installed:
            package = self.site / f"{name}_pkg"
            package.mkdir(parents=True)
            (package / "__init__.py").write_text("raise SystemExit('imported')", encoding="utf-8")
            for member, data in self.members.items():
                (package / member).write_bytes(data)
        else:
            self.make_wheel(name, self.members if wheel_members is None else wheel_members)
        lines = [
            f"[{name}]",
            f'title = "the {name} asset"',
            f'wheel = "{name}-pkg==1.0"',
            f"download_bytes = {download_bytes}",
            'wrapper_licence = "MIT"',
            'content_licence = "as found, none stated"',
            'provenance = ["Nobody (2020), https://example.org"]',
            'gpu = "the same"',
        ]
        lines += [f'installed = "{name}_pkg"'] if installed else []
        lines += [f'hub = {{ repo = "someone/{name}", revision = "main" }}'] if hub else []
        for member, data in self.members.items():
            values = {"name": member, "archive": f"{name}_pkg/{member}", "size": len(data)}
            values["sha256"] = hashlib.sha256(data).hexdigest()
            lines += [f"[[{name}.members]]"]
            lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        self.entries[name] = "\n".join(lines)
        self.registry.write_text("\n".join(self.entries.values()), encoding="utf-8")

    def make_wheel(self, name: str, members: dict[str, bytes]) -> None:
        """Write an asset's wheel, whose code must never run."""
        files = {f"{name}_pkg/{member}": data for member, data in members.items()}
        files[f"{name}_pkg/__init__.py"] = b"raise SystemExit('imported')"
        write_wheel(self.wheels, f"{name}-pkg", files=files, python=">=99")

    def remove_wheel(self, name: str) -> None:
        """Take an asset's wheel off the shelf."""
        next(self.wheels.glob(f"{name}_pkg-*.whl")).unlink()

    def fill(self, name: str) -> Path:
        """Put an asset's right bytes into the cache, as an earlier fetch would have."""
        folder = self.cache / name
        folder.mkdir(parents=True)
        for member, data in self.members.items():
            (folder / member).write_bytes(data)
        return folder
