//! How fast rows go into HBase through the history port, beside a bare loop over its Thrift client
//! that writes the same cells: both in turns, into one table, with as many connections.
//!
//!     integration-tests/stack up
//!     cargo bench -p integration-tests --bench archive -- [rows a round] [rows a batch] [rounds]
//!
//! Prints the rates and the ratio of their medians. Its tables are made for it and dropped.

use std::collections::BTreeMap;
use std::env;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::Result;
use futures_util::future::try_join_all;
use hbase_thrift::hbase::{BatchMutation, Mutation, THbaseSyncClient};
use integration_tests::contract::history::plain_message;
use integration_tests::hbase::{Tables, client};
use integration_tests::on_hbase::log_row;
use lakechat_cluster::hbase::{HBase, schema};
use lakechat_core::domain::{Cells, ChannelName, HistoryRow, Id, Partition};
use lakechat_core::ports::History;
use lakechat_core::ports::broker::Offset;
use lakechat_core::ports::history::Mark;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// As many partitions as a log has unless configured; a channel in each.
const PARTITIONS: u16 = 16;

const TEXT_BYTES: usize = 200;

/// 2026-11-24, in ms since 1970.
const BEGIN_MS: u64 = 1_795_500_000_000;

struct Bench {
    history: Arc<dyn History>,
    /// The name of the table of messages.
    table: Vec<u8>,
    connections: usize,
    /// Batches of a partition in a round.
    batches: u64,
    rows: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut given = env::args().skip(1).filter(|argument| argument != "--bench");
    let mut number = |otherwise| given.next().map_or(Ok(otherwise), |text| text.parse());
    let (total, rows, rounds): (u64, u64, u64) = (number(160_000)?, number(1000)?, number(3)?);
    let tables = Tables::fresh().await?;
    let hbase = HBase::start(&tables.settings)?;
    hbase.create_log_row(&log_row(PARTITIONS)).await?;
    let (table, _) = schema::tables(&tables.settings).swap_remove(0);
    let bench = Bench {
        history: hbase.history(PARTITIONS, 1),
        table: table.into_bytes(),
        connections: tables.settings.connections,
        batches: (total / u64::from(PARTITIONS) / rows).max(1),
        rows,
    };
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let seconds = (bench.bare(2 * round)?, bench.port(2 * round + 1).await?);
        // The first is to warm up.
        if round > 0 {
            bare.push(seconds.0);
            ours.push(seconds.1);
        }
    }
    let written = (u64::from(PARTITIONS) * bench.batches * rows) as f64;
    let (bare, ours) = (written / median(bare), written / median(ours));
    println!(
        "batches of {rows}: bare {bare:.0} rows/s  history {ours:.0} rows/s  ratio {:.2}",
        ours / bare
    );
    Ok(())
}

impl Bench {
    /// As the archiver does: a partition has one batch under way, and its mark follows it.
    async fn port(&self, round: u64) -> Result<f64> {
        let begun = Instant::now();
        try_join_all((0..PARTITIONS).map(Partition).map(|partition| async move {
            for batch in 0..self.batches {
                let rows: Vec<HistoryRow> = self.messages(partition, round, batch).collect();
                self.history.append(rows).await?;
                let done = (round * self.batches + batch + 1) * self.rows;
                let mark = Mark {
                    offset: Offset::from(done),
                    id: self.id(partition, round, batch, self.rows - 1),
                    time_ms: BEGIN_MS,
                };
                self.history.advance_mark(partition, mark).await?;
            }
            anyhow::Ok(())
        }))
        .await?;
        Ok(begun.elapsed().as_secs_f64())
    }

    /// Threads that share the partitions; no marks.
    fn bare(&self, round: u64) -> Result<f64> {
        let begun = Instant::now();
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.connections)
                .map(|first| scope.spawn(move || self.bare_lines(first, round)))
                .collect();
            let mut done = threads.into_iter().map(|t| t.join().expect("no panic"));
            done.try_for_each(|done| done)
        })?;
        Ok(begun.elapsed().as_secs_f64())
    }

    fn bare_lines(&self, first: usize, round: u64) -> Result<()> {
        let mut client = client()?;
        for partition in (0..PARTITIONS).skip(first).step_by(self.connections) {
            for batch in 0..self.batches {
                let messages = self.messages(Partition(partition), round, batch);
                let puts = messages.map(|row| bare_put(&row)).collect();
                client.mutate_rows_ts(
                    self.table.clone(),
                    puts,
                    (BEGIN_MS - BEGIN_MS % 3_600_000) as i64,
                    BTreeMap::new(),
                )?;
            }
        }
        Ok(())
    }

    fn messages(
        &self,
        partition: Partition,
        round: u64,
        batch: u64,
    ) -> impl Iterator<Item = HistoryRow> {
        let channel: ChannelName =
            ChannelName::parse(&format!("bench-{}", partition.0)).expect("a name");
        (0..self.rows).map(move |at| HistoryRow {
            channel: channel.clone(),
            private: false,
            cells: Cells::Message(plain_message(
                self.id(partition, round, batch, at),
                batch * self.rows + at + 1,
                "x".repeat(TEXT_BYTES),
            )),
        })
    }

    /// A millisecond each, so that they rise from round to round; all of one hour.
    fn id(&self, partition: Partition, round: u64, batch: u64, at: u64) -> Id {
        let number = (round * self.batches + batch) * self.rows + at;
        let step = u16::try_from(number % 4096).expect("twelve bits");
        Id::mint(BEGIN_MS + number / 4096, partition, step)
    }
}

/// The cells of a message, by hand.
fn bare_put(row: &HistoryRow) -> BatchMutation {
    let Cells::Message(message) = &row.cells else {
        unreachable!("messages are all there is");
    };
    let key = format!("00{}\0{}", row.channel, message.id);
    let cells = [
        ("m:text", message.text.clone()),
        ("m:sender", message.sender.to_string()),
        ("m:sent_at", message.id.ms().to_string()),
        ("m:client_msg_id", format!("c-{}", message.n)),
        ("m:n", message.n.to_string()),
    ];
    let mutations = cells.map(|(column, value)| {
        Mutation::new(false, column.as_bytes().to_vec(), value.into_bytes(), true)
    });
    BatchMutation::new(key.into_bytes(), mutations.to_vec())
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
