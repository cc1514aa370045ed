# The services' own command-line tools. They run as short as they can: a small compiler, few threads.

java_tool() { # class path, arguments…
  prepare_tools
  exec "$JAVA" -Xshare:auto -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData \
    -Djava.net.preferIPv4Stack=true "-Dlog4j.configuration=file:$PARTS/log4j.properties" \
    "-Dstack.log=${STACK_LOG:-ERROR}" "${HOSTS[@]}" -cp "$@"
}

prepare_tools() {
  install_missing
  fetch_jars
}

hbase_shell() {
  prepare_tools
  local scripts=$JARS/hbase-shell-scripts jruby
  jruby=$(echo "$JARS"/hbase-shell/jruby-complete-*.jar)
  java_tool "$jruby:$(jars hbase-shell):$PARTS/hbase:$HADOOP_CONF" "${HBASE_JAVA[@]}" \
    org.jruby.Main -X+O "$scripts/jar-bootstrap.rb" -n "$@"
}

hadoop_fs() { java_tool "$(jars hdfs):$HADOOP_CONF" org.apache.hadoop.fs.FsShell "$@"; }

kafka_tool() {
  local class at=(--bootstrap-server 127.0.0.1:9092)
  [[ " $* " != *" --bootstrap-server "* ]] || at=()
  case ${1:-} in
    console-consumer) class=org.apache.kafka.tools.consumer.ConsoleConsumer ;;
    console-producer) class=org.apache.kafka.tools.ConsoleProducer ;;
    topics) class=org.apache.kafka.tools.TopicCommand ;;
    configs) class=kafka.admin.ConfigCommand ;;
    consumer-groups) class=org.apache.kafka.tools.consumer.group.ConsumerGroupCommand ;;
    get-offsets) class=org.apache.kafka.tools.GetOffsetShell ;;
    delete-records) class=org.apache.kafka.tools.DeleteRecordsCommand ;;
    producer-perf-test) class=org.apache.kafka.tools.ProducerPerformance ;;
    dump-log) class=org.apache.kafka.tools.DumpLogSegments && at=() ;;
    *) fail "no Kafka tool is called '${1:-}': console-consumer, console-producer, topics, configs," \
      "consumer-groups, get-offsets, delete-records, producer-perf-test, dump-log" ;;
  esac
  java_tool "$(jars kafka)" "$class" "${at[@]}" "${@:2}"
}

java_class() { # part, class, arguments…
  case ${1:-} in
    hdfs) java_tool "$(jars hdfs):$HADOOP_CONF" "${@:2}" ;;
    hbase) java_tool "$(jars hbase):$PARTS/hbase:$HADOOP_CONF" "${HBASE_JAVA[@]}" "${@:2}" ;;
    kafka) java_tool "$(jars kafka)" "${@:2}" ;;
    *) fail "which class path? hdfs, hbase or kafka" ;;
  esac
}

logs() {
  local follow=
  if [ "${1:-}" = -f ]; then follow=1 && shift; fi
  check_names "$@"
  if [ -n "$follow" ]; then exec tail -n 100 -F "$(log_of "$1")"; else exec cat "$(log_of "$1")"; fi
}
