# The processes of the stack: their ports, their order, how each is started.

PROCESSES=(zookeeper namenode datanode1 datanode2 kafka redis regionserver master thrift)
# A second Kafka, of three brokers, so that leaders can move and a broker can be lost. It runs on demand.
BROKERS=(kafka1 kafka2 kafka3)
# What several of them do together, tried when they all run: a file is written, a table read.
SERVICES=(hdfs hbase)

# Where a process is reached, and asked whether it answers. In docker/platform each has a host of its own, and those
# of the NameNode and of ZooKeeper are in the environment, too.
STACK_HOST=${STACK_HOST:-127.0.0.1}
# The same for the settings in XML.
HOSTS=(
  "-Dstack.host=$STACK_HOST"
  "-Dstack.namenode=${STACK_NAMENODE:-127.0.0.1}"
  "-Dstack.zookeeper=${STACK_ZOOKEEPER:-127.0.0.1}"
)

# The first is where clients go.
ports_of() {
  case $1 in
    zookeeper) echo 2181 ;;
    namenode) echo 9000 9870 ;;
    datanode1) echo 9866 9864 ;;
    datanode2) echo 9867 9865 ;;
    master) echo 16000 ;;
    regionserver) echo 16020 ;;
    thrift) echo 9090 ;;
    kafka) echo 9092 9093 ;;
    kafka1) echo 9192 9193 ;;
    kafka2) echo 9292 9293 ;;
    kafka3) echo 9392 9393 ;;
    redis) echo 6379 ;;
  esac
}

# What has to answer before this one is started, or tried.
needs() {
  case $1 in
    datanode1 | datanode2) echo namenode ;;
    hdfs) echo namenode datanode1 datanode2 ;;
    master) echo zookeeper hdfs ;;
    regionserver | thrift) echo zookeeper hdfs ;;
    hbase) echo master regionserver thrift ;;
  esac
}

# What is done once when a service has come to answer.
settle() {
  case $1 in
    # Everybody may make folders below the root: lakechat and its tests bring their own.
    hdfs) http 9870 PUT "/webhdfs/v1/?op=SETPERMISSION&permission=1777&user.name=$(id -un)" >/dev/null ;;
  esac
}

jars() { (IFS=:; set -- "$JARS/$1"/*.jar; echo "$*"); }

# HBase and its libraries reach into the JDK.
HBASE_JAVA=(-Dzookeeper.sasl.client=false)
for package in lang lang.reflect io nio util util.concurrent net; do
  HBASE_JAVA+=(--add-opens "java.base/java.$package=ALL-UNNAMED")
done
HBASE_JAVA+=(--add-opens java.base/sun.nio.ch=ALL-UNNAMED)
for package in java.base/{jdk.internal.misc,sun.net.dns,sun.net.util} java.security.jgss/sun.security.krb5; do
  HBASE_JAVA+=(--add-exports "$package=ALL-UNNAMED")
done

# The words of a server's command line, one a line.
java_server() { # class path, megabytes of heap, arguments…
  printf '%s\n' "$JAVA" "-Xmx$2m" -XX:+UseSerialGC -XX:-UsePerfData -XX:+ExitOnOutOfMemoryError \
    -Djava.net.preferIPv4Stack=true "-Dlog4j.configuration=file:$PARTS/log4j.properties" -Dstack.log=INFO \
    "${HOSTS[@]}" -cp "$1" "${@:3}"
}

hdfs_server() { # system properties… class arguments…
  # WebHDFS makes classes at run time.
  java_server "$(jars hdfs):$HADOOP_CONF:$HOME_DIR/web" 256 --add-opens java.base/java.lang=ALL-UNNAMED "$@"
}

hbase_server() { # megabytes, class, arguments…
  java_server "$(jars hbase):${HBASE_SITE:-}$PARTS/hbase:$HADOOP_CONF" "$1" "${HBASE_JAVA[@]}" "${@:2}"
}

datanode() { # its name, data port, http port
  hdfs_server org.apache.hadoop.hdfs.server.datanode.DataNode -conf "$PARTS/hdfs-servers.xml" \
    -D "dfs.datanode.data.dir=file://$HOME_DIR/data/$1" \
    -D "dfs.datanode.address=$STACK_HOST:$2" -D "dfs.datanode.http.address=$STACK_HOST:$3"
}

# Its configuration; prints the path.
broker_properties() { # name
  local path=$HOME_DIR/run/$1.properties data control
  read -r data control < <(ports_of "$1")
  {
    cat "$PARTS/kafka-broker.properties"
    printf '%s\n' "node.id=${1#kafka}" "log.dirs=./data/$1" \
      "listeners=PLAINTEXT://127.0.0.1:$data,CONTROLLER://127.0.0.1:$control"
  } >"$path"
  echo "$path"
}

command_of() {
  local namenode=org.apache.hadoop.hdfs.server.namenode.NameNode
  case $1 in
    zookeeper) java_server "$(jars hdfs)" 128 org.apache.zookeeper.server.quorum.QuorumPeerMain "$PARTS/zoo.cfg" ;;
    namenode) hdfs_server "$namenode" -conf "$PARTS/hdfs-servers.xml" ;;
    datanode1 | datanode2)
      # shellcheck disable=SC2046  # two ports
      datanode "$1" $(ports_of "$1") ;;
    master) hbase_server 512 org.apache.hadoop.hbase.master.HMaster start ;;
    regionserver) hbase_server 1024 org.apache.hadoop.hbase.regionserver.HRegionServer start ;;
    thrift)
      HBASE_SITE=$PARTS/thrift: hbase_server 512 org.apache.hadoop.hbase.thrift.ThriftServer \
        -b "$STACK_HOST" -p 9090 --infoport -1 start ;;
    kafka)
      java_server "$(jars kafka)" 512 kafka.Kafka "$PARTS/kafka.properties" \
        --override "listeners=PLAINTEXT://$STACK_HOST:9092,CONTROLLER://127.0.0.1:9093" ;;
    kafka[123]) java_server "$(jars kafka)" 384 kafka.Kafka "$(broker_properties "$1")" ;;
    redis) printf '%s\n' redis-server "$PARTS/redis.conf" ;;
  esac
}

# What a process needs before its first start: one line, or none when its data is there.
format_of() {
  case $1 in
    namenode) [ -d data/namenode/current ] ||
      hdfs_server org.apache.hadoop.hdfs.server.namenode.NameNode -conf "$PARTS/hdfs-servers.xml" \
        -format -nonInteractive ;;
    kafka) [ -e data/kafka/meta.properties ] ||
      java_server "$(jars kafka)" 128 kafka.tools.StorageTool format -t lakechat-stack-0000000 \
        -c "$PARTS/kafka.properties" ;;
    kafka[123]) [ -e "data/$1/meta.properties" ] ||
      java_server "$(jars kafka)" 128 kafka.tools.StorageTool format -t lakechat-brokers-00000 \
        -c "$(broker_properties "$1")" ;;
  esac
}
