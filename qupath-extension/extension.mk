# Targets of the QuPath extension; included by the Makefile.
EXT := qupath-extension
EXT_JDK = $(shell sh $(EXT)/find-jdk.sh)
EXT_VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' server/hemalum/__init__.py)
EXT_JAR = $(EXT)/extension/target/qupath-extension-hemalum-$(EXT_VERSION).jar
EXT_MVN = JAVA_HOME="$(EXT_JDK)" mvn -q -B -f $(EXT)/pom.xml -Drevision="$(EXT_VERSION)"

.PHONY: extension extension-test extension-verify qupath-test

extension:                  ## the extension's jar for QuPath 0.6 and 0.7
	@test -n "$(EXT_JDK)" || { echo "No JDK 21 or newer was found (JAVA_HOME, PATH, usual folders); install one, for example Temurin 25."; exit 1; }
	$(EXT_MVN) package -DskipTests
	@ls -l $(EXT_JAR)

extension-test:             ## client, jar and loader tests; says so when it must skip them
	@if [ -z "$(EXT_JDK)" ]; then echo "SKIPPED: tests of the QuPath extension (no JDK 21 or newer was found)"; test -z "$$CI"; \
	 elif ! command -v mvn >/dev/null; then echo "SKIPPED: tests of the QuPath extension (no Maven was found)"; test -z "$$CI"; \
	 else $(EXT_MVN) verify -Dhemalum.python="$(abspath .venv/bin/python)"; fi

extension-verify: extension ## QUPATH=DIR: which members of that QuPath the jar needs and does not find
	@test -n "$(QUPATH)" || { echo "Say which QuPath: make extension-verify QUPATH=DIR (a QuPath folder, or folders of classes and jars)"; exit 2; }
	"$(EXT_JDK)/bin/java" -cp "$(EXT)/checks/target/classes:$(EXT)/checks/target/tools/*" hemalum.checks.References $(EXT_JAR) $(QUPATH)

qupath-test: extension      ## QUPATH=DIR: headless script and window of a real QuPath
	@if [ -z "$(QUPATH)" ]; then echo "SKIPPED: tests in QuPath (no QUPATH=DIR was given)"; \
	 else QUPATH="$(QUPATH)" JAR="$(abspath $(EXT_JAR))" .venv/bin/python -m pytest tests/qupath; fi
