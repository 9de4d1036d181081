#!/bin/sh
# Prints the home of a JDK 21 or newer: JAVA_HOME, the search path, the usual folders. Exit code 1 if there is none.
# The newest first: QuPath 0.7's own classes are Java 25.
major() {
    "$1/bin/javac" -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p'
}
best='' version=20
for home in "$JAVA_HOME" "$(dirname "$(dirname "$(readlink -f "$(command -v javac || echo /nowhere/bin/x)")")")" \
    /usr/lib/jvm/* /opt/java/* /opt/jdk* /Library/Java/JavaVirtualMachines/*/Contents/Home "$HOME"/.sdkman/candidates/java/* "$HOME"/.jdks/*; do
    [ -x "$home/bin/javac" ] || continue
    found=$(major "$home")
    if [ "${found:-0}" -gt "$version" ]; then
        best=$home version=$found
    fi
done
[ -n "$best" ] && echo "$best"
