# Each target makes .venv/ from requirements.lock when it is missing or stale, then runs a `course`
# command in it. On Windows without make: python helpers/commands/venv.py lab
PYTHON ?= python3
COURSE = $(PYTHON) helpers/commands/venv.py

.PHONY: lab test course prefetch doctor lint

lab: ; @$(COURSE) lab
test: ; @$(COURSE) test
course: ; @$(COURSE) run --strict
prefetch: ; @$(COURSE) prefetch
doctor: ; @$(COURSE) doctor
lint: ; @$(COURSE) lint
