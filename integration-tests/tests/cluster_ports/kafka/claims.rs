//! Who stores what: servers share the partitions, and one takes over from another.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::contract::{DEADLINE, eventually};
use integration_tests::on_kafka::{BROKERS, OnKafka, connect, fresh};
use lakechat_core::domain::Partition;
use lakechat_core::ports::Broker;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, TopicPartitionList};
use tokio::sync::watch;

type Claimed = watch::Receiver<Vec<Partition>>;

async fn wait_for(
    claimed: &mut Claimed,
    is: impl Fn(&[Partition]) -> bool,
) -> Result<Vec<Partition>> {
    let claimed = claimed.wait_for(|claimed| is(claimed));
    let claimed = tokio::time::timeout(DEADLINE, claimed).await;
    Ok(claimed.context("waited in vain for partitions")??.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_share_partitions_and_one_takes_over() -> Result<()> {
    let backend = fresh().await?;
    let mut first = backend.broker.assigned_partitions();
    wait_for(&mut first, |claimed| claimed.len() == 8).await?;
    let another = connect(backend.topics.settings()).await?;
    let mut second = another.assigned_partitions();
    let theirs = wait_for(&mut second, |claimed| claimed.len() == 4).await?;
    let ours = wait_for(&mut first, |claimed| claimed.len() == 4).await?;
    ensure!(
        ours.iter().all(|p| !theirs.contains(p)),
        "{ours:?} {theirs:?}"
    );

    drop(second);
    drop(another);
    wait_for(&mut first, |claimed| claimed.len() == 8).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_lasts_as_long_as_somebody_wants_to_know() -> Result<()> {
    let backend = fresh().await?;
    let mut first = backend.broker.assigned_partitions();
    wait_for(&mut first, |claimed| claimed.len() == 8).await?;
    drop(first);
    let another = connect(backend.topics.settings()).await?;
    wait_for(&mut another.assigned_partitions(), |claimed| {
        claimed.len() == 8
    })
    .await?;
    drop(another);
    wait_for(&mut backend.broker.assigned_partitions(), |claimed| {
        claimed.len() == 8
    })
    .await?;
    Ok(())
}

fn committed(backend: &OnKafka) -> Result<Vec<Option<i64>>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", BROKERS)
        .set("group.id", backend.topics.settings().archiver_group())
        .create()?;
    let mut list = TopicPartitionList::new();
    list.add_partition_range(&backend.topics.messages(), 0, 7);
    let committed = consumer.committed_offsets(list, Duration::from_secs(10))?;
    let elements = committed.elements();
    let offset = |offset| match offset {
        rdkafka::Offset::Offset(offset) => Some(offset),
        _ => None,
    };
    Ok(elements.iter().map(|e| offset(e.offset())).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_is_shown_to_tools_of_kafka() -> Result<()> {
    let backend = fresh().await?;
    let mut claims = backend.broker.assigned_partitions();
    wait_for(&mut claims, |claimed| claimed.len() == 8).await?;
    backend.broker.mark_archived(Partition(3), 5);
    backend.broker.mark_archived(Partition(3), 7);
    backend.broker.mark_archived(Partition(5), 1);
    eventually("the offsets are committed", async || {
        let committed = tokio::task::block_in_place(|| committed(&backend))?;
        Ok((committed[3], committed[5]) == (Some(7), Some(1)))
    })
    .await
}
