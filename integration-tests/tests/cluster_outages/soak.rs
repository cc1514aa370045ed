//! Each fault many times, at random moments; prints a table. `integration-tests/soak` runs it.

mod row;

use std::env;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::alone::Alone;
use integration_tests::links::Way;
use integration_tests::shifted_clock::ShiftedClock;
use integration_tests::stack;
use rand::RngExt;
use serde_json::Value;
use tokio::time::sleep;

use self::row::Row;
use crate::faults::Fault;
use crate::scene::{HBASE, KAFKA, REDIS, Scene};

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const FAULTS: [Fault; 29] = [
    Fault::ServerKilled,
    Fault::ServerStands(seconds(30)),
    Fault::ServerDrains,
    Fault::NginxRestarts,
    Fault::CutOff(KAFKA, seconds(10)),
    Fault::CutOff(REDIS, seconds(10)),
    Fault::CutOff(HBASE, seconds(10)),
    Fault::KilledWaiting(KAFKA, Way::Requests),
    Fault::KilledWaiting(KAFKA, Way::Answers),
    Fault::KilledWaiting(HBASE, Way::Requests),
    Fault::KilledWaiting(HBASE, Way::Answers),
    Fault::ServersClock(3_000, seconds(20)),
    Fault::ServersClock(-3_000, seconds(20)),
    Fault::ServersClock(-1_200_000, seconds(10)),
    Fault::ServersClock(1_200_000, seconds(10)),
    Fault::Killed("redis"),
    Fault::Killed("thrift"),
    Fault::Killed("regionserver"),
    Fault::Killed("master"),
    Fault::Killed("zookeeper"),
    Fault::Killed("datanode1"),
    Fault::Killed("namenode"),
    Fault::Killed("kafka"),
    Fault::Stands("kafka", seconds(20)),
    Fault::BrokerLost,
    Fault::KafkasClock(-3_000, seconds(10)),
    Fault::KafkasClock(3_000, seconds(10)),
    Fault::KafkasClock(-1_200_000, seconds(10)),
    Fault::KafkasClock(1_200_000, seconds(10)),
];

/// Times that each happens, unless `SOAK_RUNS` says otherwise.
const RUNS: usize = 10;

/// The faults whose names contain `SOAK_FAULTS`; all if it is unset.
fn chosen(name: &str) -> bool {
    env::var("SOAK_FAULTS").map_or(true, |words| name.contains(&words))
}

fn runs() -> Result<usize> {
    match env::var("SOAK_RUNS") {
        Ok(runs) => runs.parse().context("SOAK_RUNS is a number"),
        Err(_) => Ok(RUNS),
    }
}

/// In the folder that `SOAK_REPORTS` names.
fn keep_report(fault: Fault, report: &Value) -> Result<()> {
    let Some(folder) = env::var_os("SOAK_REPORTS") else {
        return Ok(());
    };
    let file = Path::new(&folder).join(format!("{}.json", fault.name()));
    Ok(std::fs::write(file, report.to_string())?)
}

async fn repeat(fault: Fault, runs: usize) -> Result<Row> {
    let alone = match fault {
        Fault::BrokerLost => Alone::with_three_brokers().await?,
        _ => Alone::fresh().await?,
    };
    let kafkas = ShiftedClock::new()?;
    if matches!(fault, Fault::KafkasClock(..)) {
        stack::verb(&["stop", "kafka"]).await?;
        stack::verb_with(&["start", "kafka"], &kafkas.env()).await?;
    }
    let mut scene = Scene::set(alone).await?;
    let mut recoveries = Vec::new();
    for _ in 0..runs {
        let moment = rand::rng().random_range(1_000..6_000);
        sleep(Duration::from_millis(moment)).await;
        let over = fault.strike(&mut scene, &kafkas).await?;
        scene.recovered().await?;
        recoveries.push(over.elapsed());
        if matches!(fault, Fault::BrokerLost) {
            stack::verb(&["start", "kafka1"]).await?;
            scene.alone.brokers_in_sync(3).await?;
            scene.recovered().await?;
        }
    }
    let account = scene.end().await?;
    keep_report(fault, &account.report)?;
    if matches!(fault, Fault::KafkasClock(..)) {
        stack::verb(&["stop", "kafka"]).await?;
        stack::verb(&["start", "kafka"]).await?;
    }
    Ok(Row::of(fault.name(), recoveries, account))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes an hour; integration-tests/soak runs it"]
async fn soak_of_faults() -> Result<()> {
    let runs = runs()?;
    println!("{}", row::HEAD);
    let mut wrong = Vec::new();
    for fault in FAULTS {
        let name = fault.name();
        if !chosen(&name) {
            continue;
        }
        match repeat(fault, runs).await {
            Ok(row) => {
                println!("{row}");
                wrong.extend(row.wrong.iter().map(|what| format!("{name}: {what}")));
            }
            Err(error) => wrong.push(format!("{name}: {error:#}")),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
