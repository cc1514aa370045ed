#!/usr/bin/env python3
"""Reads a channel's messages out of HBase through its Thrift server.

Prints one JSON object a line, oldest first, and at the end (on standard error) whether the numbers
run from 1 on without a gap up to the mark: who sees 1 ... n sees all that was said.

    pip install happybase
    history.py 127.0.0.1:9090 lakechat: general --last 20
"""

import argparse
import hashlib
import json
import sys

import happybase

ID_DIGITS = 20
PARTITION_SHIFT, PARTITION_MASK = 12, 0x3FF


def row_prefix(channel: str) -> bytes:
    """Two hex digits that spread channels over the regions, the channel, a zero byte."""
    spread = hashlib.md5(channel.encode()).hexdigest()[:2]
    return f"{spread}{channel}\0".encode()


def message(row: bytes, cells: dict) -> dict | None:
    """A row as a message; None for one that holds only a change of what is not stored yet."""
    of = {column.decode(): value.decode() for column, value in cells.items()}
    if "m:sender" not in of:
        return None
    fields = {column[2:]: value for column, value in of.items() if column.startswith("m:")}
    numbers = ("sent_at", "n", "edited_at", "deleted_at", "file_size")
    for name in numbers:
        if name in fields:
            fields[name] = int(fields[name])
    # One cell a person and emoji: `r:<emoji> <user>` is `+` or `-`.
    given = (column[2:].rsplit(" ", 1) for column, value in of.items()
             if column.startswith("r:") and value == "+")
    reactions = {}
    for emoji, user in given:
        reactions.setdefault(emoji, []).append(user)
    if reactions:
        fields["reactions"] = reactions
    return {"id": row[-ID_DIGITS:].decode(), **fields}


def marks(meta: happybase.Table) -> dict[int, int]:
    """For each partition the id up to which history holds everything."""
    log = json.loads(meta.row(b"log")[b"d:v"])
    # Where the generation started; a partition that has stored nothing since has no row of its own.
    ends = {partition: int(id) for partition, id in enumerate(log["floors"])}
    prefix = f"mark/{log['generation']}/".encode()
    for row, cells in meta.scan(row_prefix=prefix):
        ends[int(row[len(prefix):])] = int(json.loads(cells[b"d:v"])["id"])
    return ends


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("thrift", help="host:port of HBase's Thrift server")
    parser.add_argument("tables", help="what the tables' names begin with, such as lakechat:")
    parser.add_argument("channel")
    parser.add_argument("--last", type=int, help="only so many of the newest messages")
    args = parser.parse_args()

    host, port = args.thrift.rsplit(":", 1)
    connection = happybase.Connection(host, int(port))
    # Before the rows: what is stored below a mark that comes later may have come after they were read.
    ends = marks(connection.table(args.tables + "meta"))
    prefix = row_prefix(args.channel)
    messages = connection.table(args.tables + "messages")
    if args.last:
        # From behind: the start row is the largest key that the channel can have.
        rows = messages.scan(row_start=prefix + b"9" * ID_DIGITS, row_stop=prefix, reverse=True,
                             limit=args.last)
        rows = reversed(list(rows))
    else:
        rows = messages.scan(row_prefix=prefix)

    numbers = []
    for row, cells in rows:
        said = message(row, cells)
        if said is None:
            continue
        print(json.dumps(said, ensure_ascii=False))
        partition = int(said["id"]) >> PARTITION_SHIFT & PARTITION_MASK
        if int(said["id"]) <= ends.get(partition, 0):
            numbers.append(said["n"])
    whole = all(after == before + 1 for before, after in zip(numbers, numbers[1:]))
    from_first = bool(args.last) or not numbers or numbers[0] == 1
    state = "none is missing" if whole and from_first else "SOME ARE MISSING"
    print(f"{len(numbers)} messages up to the mark: {state}", file=sys.stderr)
    sys.exit(0 if whole and from_first else 1)


if __name__ == "__main__":
    main()
