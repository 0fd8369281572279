"""Installs the nodes, and the launch and config files of the repository's top folders."""

from pathlib import Path

from setuptools import setup

PACKAGE = "referent_ros"
# setuptools takes data files only by paths relative to this folder.
REPOSITORY = Path("../../..")
CONFIG_FOLDERS = ("config/cameras", "config/foxglove", "config/rviz", "config/sros2")


def files(folder: str, pattern: str) -> list[str]:
    """The repository's files of one kind, as relative paths."""
    return sorted(str(path) for path in (REPOSITORY / folder).glob(pattern))


setup(
    name=PACKAGE,
    version="0.1.0",
    packages=[PACKAGE],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/launch", files("launch", "*.launch.py")),
        (f"share/{PACKAGE}/config", files("config", "*.yaml") + files("config", "*.xml")),
        *((f"share/{PACKAGE}/{folder}", files(folder, "*.*")) for folder in CONFIG_FOLDERS),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            f"node = {PACKAGE}.node:main",
            f"camera = {PACKAGE}.camera:main",
            f"client = {PACKAGE}.client:main",
            f"speech = {PACKAGE}.speech:main",
            f"health = {PACKAGE}.health:main",
        ]
    },
)
