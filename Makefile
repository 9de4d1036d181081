# Two commands on a fresh machine: `make demo`, `make test`.
PYTHON ?= python3
BIN := .venv/bin
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test lint release docs bench fuzz soak train epoch gpu-check wheelhouse proto clean
.DEFAULT_GOAL := demo
include qupath-extension/extension.mk

$(BIN)/hemalum: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e .
	touch $@

.venv/.dev: pyproject.toml $(BIN)/hemalum
	$(BIN)/pip install --quiet -e ".[dev,training,batch]"
	touch $@

demo: $(BIN)/hemalum        ## the main job on a real slide region, through the server
	$(BIN)/hemalum check --compile
	$(BIN)/hemalum demo -o demo

test: .venv/.dev lint extension-test   ## everything that must hold, in at most ten minutes on two cores
	$(BIN)/python -m pytest --doctest-modules server/hemalum training/hemalum_training
	OMP_NUM_THREADS=2 $(BIN)/python -m pytest --durations=15

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m handbook.links

.venv/.release: pyproject.toml $(BIN)/hemalum
	$(BIN)/pip install --quiet -e ".[release]"
	touch $@

.venv/.docs: pyproject.toml $(BIN)/hemalum
	$(BIN)/pip install --quiet -e ".[docs]"
	touch $@

release: .venv/.release     ## dist/: PLATFORMS="linux windows macos-arm64" PYTHONS="3.11 3.12" RELEASE_URL=https://… EXTENSION=no
	$(BIN)/python -m release --platforms "$(PLATFORMS)" --pythons "$(PYTHONS)" --url "$(RELEASE_URL)" \
	    $(if $(filter no,$(EXTENSION)),--without-extension)

docs: .venv/.docs           ## the documentation as a site that needs no network: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

bench: .venv/.dev           ## speed as ratios of one run, written to bench.json
	$(BIN)/python -m benchmarks

fuzz: .venv/.dev            ## random bytes and mutated messages to a real server: CASES=100000
	$(BIN)/python -m benchmarks.fuzz --cases $(or $(CASES),100000)

soak: .venv/.dev            ## eight mixed clients at one server; what grows: SOAK=SECONDS, 600 by default
	$(BIN)/python -m benchmarks.soak --seconds $(or $(SOAK),600)

train: .venv/.dev           ## make the bundled models again (hours; goes on where it was stopped)
	$(BIN)/hemalum train all training/configs/nuclei-first.toml --data $(DATA) -o runs/nuclei-first
	$(BIN)/hemalum train all training/configs/nuclei-second.toml --init runs/nuclei-first/package --data $(DATA) -o runs/nuclei-second
	$(BIN)/hemalum train all training/configs/nuclei-third.toml --init runs/nuclei-second/package --data $(DATA) -o runs/nuclei-third
	$(BIN)/hemalum train all training/configs/nuclei.toml --init runs/nuclei-third/package --data $(DATA) -o runs/nuclei
	$(BIN)/hemalum train all training/configs/nuclei-research.toml --init runs/nuclei/package --data $(DATA) -o runs/nuclei-research

epoch: .venv/.dev           ## one epoch of the source's full-size networks on a CPU: score, export, memory, s/step
	$(BIN)/python -m benchmarks.epoch --data $(DATA)

gpu-check: .venv/.dev       ## on a CUDA machine: agreement with the CPU and s/mm²
	$(BIN)/pip install --quiet -e ".[gpu]"
	$(BIN)/python -m benchmarks.gpu

wheelhouse:                 ## wheels for an installation without a network
	$(PYTHON) -m pip wheel --quiet --wheel-dir wheelhouse .

proto: .venv/.dev           ## stubs from the wire contract
	$(BIN)/python -m grpc_tools.protoc -I proto --python_out=server --pyi_out=server --grpc_python_out=server proto/hemalum/v1/nuclei.proto

clean:
	rm -rf build dist demo site wheelhouse
