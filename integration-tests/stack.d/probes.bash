# Whether a process or service answers, asked as a client would ask it, without a client's start-up:
# each is one exchange of bytes. All of them fail within seconds when there is no answer.

# (`grep -q` would end at the first hit, and its writer by SIGPIPE: a failure, under pipefail.)
answers() { # process or service
  case $1 in
    zookeeper) zookeeper_answers ;;
    namenode) jmx 9870 NameNode NameNodeInfo | grep '"Safemode"' >/dev/null ;;
    datanode1) jmx 9864 DataNode DataNodeInfo | grep RUNNING >/dev/null ;;
    datanode2) jmx 9865 DataNode DataNodeInfo | grep RUNNING >/dev/null ;;
    hdfs) hdfs_takes_a_file ;;
    # Their ports open long before they work, so their own word counts. One that ZooKeeper has declared dead
    # does not know it yet.
    master) has_said master 'Master has completed initialization' && zookeeper_holds /hbase/master ;;
    regionserver) has_said regionserver 'Serving as ' && zookeeper_holds /hbase/rs/ ;;
    thrift) listens 9090 ;;
    hbase) hbase_reads_a_table ;;
    copies) hdfs_has_both_copies ;;
    kafka) kafka_takes_a_record ;;
    kafka[123]) broker_is_of_its_cluster "$1" ;;
    redis) redis_answers ;;
  esac 2>/dev/null
}

listens() { (exec 3<>"/dev/tcp/$STACK_HOST/$1") 2>/dev/null; }

# Sends what printf makes of the format, and reads: to the end, so many bytes, or what a size of four
# bytes in front says (`sized`).
ask() { # port format [bytes|sized]
  local size=${3:-}
  (
    exec 3<>"/dev/tcp/$STACK_HOST/$1"
    # shellcheck disable=SC2059  # the format is the message
    printf "$2" >&3
    [ "$size" != sized ] || size=$((16#$(timeout 5 head -c 4 <&3 | hex)))
    if [ -n "$size" ]; then timeout 5 head -c "$size" <&3; else timeout 5 cat <&3; fi
  )
}

hex() { od -An -v -tx1 | tr -d ' \n'; }

http() { # port method path [body]
  local body=${4:-}
  ask "$1" "$2 ${3//%/%%} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: ${#body}\r\n\r\n$body"
}

jmx() { http "$1" GET "/jmx?qry=Hadoop:service=$2,name=$3"; } # port service bean

zookeeper_answers() { [ "$(ask 2181 ruok)" = imok ]; }

# A node that is gone with the session of who made it.
zookeeper_holds() { ask 2181 dump | grep "^[[:space:]]*$1" >/dev/null; }

has_said() { log_of_this_start "$1" | grep "$2" >/dev/null; } # process, words

redis_answers() { [ "$(ask 6379 'PING\r\n' 5)" = +PONG ]; }

# Over WebHDFS: the NameNode names a DataNode, which takes the bytes.
hdfs_takes_a_file() {
  local path="/webhdfs/v1/tmp/stack-probe" user location port
  user="user.name=$(id -un)"
  location=$(http 9870 PUT "$path?op=CREATE&overwrite=true&noredirect=true&$user" |
    sed -n 's/.*"Location":"\([^"]*\)".*/\1/p')
  [ -n "$location" ] || return
  port=${location#http://127.0.0.1:}
  port=${port%%/*}
  http "$port" PUT "/${location#http://*/}" 'a file' | grep '^HTTP/1.1 201' >/dev/null || return
  http 9870 DELETE "$path?op=DELETE&$user" | grep '{"boolean":true}' >/dev/null
}

# Closed files, and those that are written: HBase's logs. A file that wants one copy has it.
hdfs_has_both_copies() {
  http 9870 GET "/fsck?ugi=$(id -un)&path=/&files=1&blocks=1&openforwrite=1" | awk '
    / replicated: replication=/ { wanted = $0; sub(/.*replication=/, "", wanted); wanted += 0 }
    / (Live|Expected)_repl=1/ && wanted > 1 { lacking = 1 }
    /^Status: / { complete = 1 }
    END { exit lacking || !complete }'
}

# getTableNames goes to the master; getRow of a row that every HBase has goes to the RegionServer.
# The answers begin: version 1, reply, name, sequence id, then the result, whose field 0 is a list
# (an error would be field 1).
hbase_reads_a_table() {
  local tables row
  tables=$(ask 9090 '\x80\1\0\1\0\0\0\x0dgetTableNames\0\0\0\1\0' 28 | hex)
  [[ $tables == 80010002*0f0000 ]] || return
  row='\x80\1\0\1\0\0\0\6getRow\0\0\0\1'           # call
  row+='\x0b\0\1\0\0\0\x0fhbase:namespace'         # 1: table
  row+='\x0b\0\2\0\0\0\x07default\0'               # 2: row
  row=$(ask 9090 "$row" 26 | hex)
  [[ $row == 80010002*0f00000c00000001 ]]          # a list of one struct
}

# One empty record to a topic of its own, with acks=all. The broker's port opens before it may take any.
kafka_takes_a_record() {
  local topic='\0\x0bstack-probe' request answer name=737461636b2d70726f6265
  request="\0\0\0\1$topic\0\0\0\1\0\1\0\0\0\0\0\0\0\0" # one topic, a partition, a copy
  request+='\0\0\x13\x88\0'                            # within 5 s, for real
  answer=$(kafka_ask '\0\x13\0\2' "$request")          # CreateTopics, version 2
  [[ $answer == *${name}0000* || $answer == *${name}0024* ]] || return # made, or there already

  local batch='\0\0\0\0\0\0\0\0\0\0\0\x38\xff\xff\xff\xff\2' # offset 0, 56 bytes follow, format 2
  batch+='\x27\x19\x0a\x04'                                  # CRC-32C of the rest
  batch+='\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0'      # no flags, one record, of time 0
  batch+='\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff'          # no producer id, no epoch
  batch+='\xff\xff\xff\xff\0\0\0\1\x0c\0\0\0\1\0\0'          # no sequence, one record: no key, no value
  request="\xff\xff\xff\xff\0\0\x13\x88"                     # no transaction, acks=all, within 5 s
  request+="\0\0\0\1$topic\0\0\0\1\0\0\0\0\0\0\0\x44$batch"  # topic, partition 0, 68 bytes
  answer=$(kafka_ask '\0\0\0\3' "$request")                  # Produce, version 3
  [[ $answer == *${name}00000001000000000000* ]]             # one partition, number 0, no error
}

# It lists itself among the brokers that are alive: it has joined, and there is a controller.
broker_is_of_its_cluster() {
  local port answer
  read -r port _ < <(ports_of "$1")
  answer=$(kafka_ask '\0\x03\0\1' '\0\0\0\0' "$port") # Metadata, version 1, of no topics
  # Its number, its host as text of nine bytes, its port.
  [[ $answer == *0000000${1#kafka}00093132372e302e302e31$(printf %08x "$port")* ]]
}

kafka_ask() { # api and version, request: both printf formats; port
  local request="$1\0\0\0\1\xff\xff$2" size # correlation 1, no client id
  # shellcheck disable=SC2059
  size=$(printf "$request" | wc -c)
  ask "${3:-9092}" "\0\0\0\x$(printf %02x "$size")$request" sized | hex
}
