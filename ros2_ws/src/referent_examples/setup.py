"""Installs the examples as executables."""

from setuptools import setup

PACKAGE = "referent_examples"

setup(
    name=PACKAGE,
    version="0.1.0",
    packages=[PACKAGE],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    install_requires=["setuptools"],
    zip_safe=False,
    license="Apache-2.0",
    entry_points={"console_scripts": [f"navigate = {PACKAGE}.navigate:main"]},
)
