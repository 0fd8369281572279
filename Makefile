# make demo    set everything up and run the main job: camera, node and client as ROS 2 processes
# make test    the same set-up, then every test
# make lint    format, lint, types
# make bench   side-by-side measurements into out/bench/
# make clean   remove everything that set-up and the demo made

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench clean

PYTHON ?= python3
VENV := .venv/bin
# Tests of one file, and all that start ROS nodes, stay in one process each.
TEST_PROCESSES ?= 2
# The tests run inside the built workspace; the demo's processes find it by themselves.
WORKSPACE := . .venv/bin/activate && export AMENT_PREFIX_PATH="$$VIRTUAL_ENV" && . ros2_ws/install/setup.bash
# Called from inside another ROS virtual environment: its libraries must not be taken for ours.
ifdef _ROS_WHEELS_BOOTSTRAP_COMPLETE
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE
unexport LD_LIBRARY_PATH
endif

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

setup:
	@$(PYTHON) tools/setup.py

demo: setup
	@$(VENV)/referent demo

test: setup
	@$(WORKSPACE) && OMP_NUM_THREADS=1 python -m pytest -n $(TEST_PROCESSES) --dist loadgroup $(PYTEST_ARGS)

lint: setup
	@$(VENV)/ruff format --check .
	@$(VENV)/ruff check .
	@$(VENV)/mypy

bench: setup
	@mkdir -p out/bench
	@$(VENV)/referent bench tracker --json out/bench/tracker.json
	@$(VENV)/referent bench pipeline --json out/bench/pipeline.json
	@$(VENV)/referent bench geometry --json out/bench/geometry.json

clean:
	rm -rf .venv out ros2_ws/build ros2_ws/install ros2_ws/log
