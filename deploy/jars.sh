#!/usr/bin/env bash
# jars.sh FOLDER: fetches the jars of FOLDER/pom.xml from Maven Central into FOLDER/jars and compares them with
# FOLDER/jars.sha256: the same names, the same sums. For the images of the Dockerfile; the tests do the same themselves.
set -euo pipefail
cd "$1"
mvn -q -B -ntp --strict-checksums dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$PWD/jars"
cd jars
grep -v '^#' ../jars.sha256 | sha256sum --check --strict --quiet
diff <(ls) <(grep -v '^#' ../jars.sha256 | awk '{print $2}' | sort) || {
  echo "error: other files than those of jars.sha256 were fetched" >&2
  exit 1
}
