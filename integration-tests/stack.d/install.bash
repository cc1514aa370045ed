# What the stack needs and a machine may lack: Debian's packages, and the jars.

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# Kafka wants Java 17 or newer; Hadoop uses what Java 24 has no more.
find_java() {
  local version
  for JAVA in "${JAVA_HOME:+$JAVA_HOME/bin/}java" java /usr/lib/jvm/java-{17,21}-openjdk-*/bin/java; do
    version=$("$JAVA" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
    [ "${version:-0}" -lt 17 ] || [ "$version" -gt 23 ] || return 0
  done
  return 1
}

install_missing() {
  local missing=()
  find_java || missing+=(default-jre-headless)
  has mvn || jars_are_there || missing+=(maven)
  has redis-server || missing+=(redis-server)
  has unzip || missing+=(unzip)
  has flock || missing+=(util-linux)
  [ "${#missing[@]}" -gt 0 ] || return 0
  has apt-get || fail "missing: ${missing[*]}, and there is no apt-get"
  say "installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  # Debian starts it as a service, on the port that the stack's own is to have.
  [[ " ${missing[*]} " != *" redis-server "* ]] || as_root service redis-server stop >/dev/null 2>&1 || true
  find_java || fail "no Java of 17 to 23 found"
}

poms_sum() { (cd "$PARTS/jars" && sha256sum pom.xml */pom.xml | sha256sum); }

jars_are_there() { [ "$(cat "$JARS/stamp" 2>/dev/null)" = "$(poms_sum)" ]; }

# What was fetched stands in Maven's own cache too: a run that breaks off goes on from there.
fetch_jars() {
  ! jars_are_there || return 0
  say "fetching the jars by Maven (about 360 MB the first time)"
  rm -rf "$JARS"
  mkdir -p "$JARS"
  mvn -B -ntp -q -f "$PARTS/jars/pom.xml" "-Djars=$JARS" dependency:copy-dependencies >&2 ||
    fail "Maven could not fetch the jars"
  unzip -q -o "$JARS"/hbase-shell/hbase-shell-*.jar -d "$JARS/hbase-shell-scripts"
  poms_sum >"$JARS/stamp"
}
