//! The topics: made when they are missing, refused when they are wrong, watched while the server runs.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::contract::eventually;
use integration_tests::on_kafka::{GOOD, Topics, admin, connect, fresh, make, options, with};
use lakechat_cluster::kafka::{KafkaBroker, StartError, TopicFault};
use lakechat_core::domain::Partition;
use lakechat_core::ports::broker::OutgoingRecord;
use lakechat_core::ports::{Broker, PortError};
use rdkafka::admin::{AlterConfig, NewPartitions, ResourceSpecifier};

async fn faults(topics: &Topics) -> Result<Vec<TopicFault>> {
    match KafkaBroker::connect(topics.settings()).await.err() {
        Some(StartError::Topics(faults)) => Ok(faults),
        other => anyhow::bail!("not what is wrong with topics: {other:?}"),
    }
}

/// Connecting tells of this setting alone, and altering it as told makes it good.
async fn is_refused(setting: &str, is: &str, has_to_be: &str, remedy: &str) -> Result<()> {
    let topics = Topics::new();
    make(&topics.messages(), 8, &with(setting, is)).await?;
    let faults = faults(&topics).await?;
    ensure!(faults.len() == 1, "{faults:?}");
    let fault = &faults[0];
    assert_eq!(
        (fault.topic.as_str(), fault.setting),
        (topics.messages().as_str(), setting)
    );
    assert_eq!(
        (fault.is.as_str(), fault.has_to_be.as_str()),
        (is, has_to_be)
    );
    assert_eq!(
        fault.remedy,
        format!(
            "kafka-configs.sh --bootstrap-server 127.0.0.1:9092 --alter --entity-type topics \
             --entity-name {} --add-config {setting}={remedy}",
            topics.messages()
        )
    );
    let told = StartError::Topics(faults.clone()).to_string();
    for part in [&fault.topic, setting, is, has_to_be, &fault.remedy] {
        ensure!(told.contains(part), "{part} in {told}");
    }
    let topic = topics.messages();
    let altered = with(setting, remedy);
    let alter = AlterConfig::new(ResourceSpecifier::Topic(&topic));
    let alter = altered
        .iter()
        .fold(alter, |alter, (key, value)| alter.set(key, value));
    for altered in admin()?.alter_configs([&alter], &options()).await? {
        altered.map_err(|(_, code)| anyhow::anyhow!("{code}"))?;
    }
    eventually("the altered topic is good", async || {
        Ok(KafkaBroker::connect(topics.settings()).await.is_ok())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn stamps_of_senders_are_refused() -> Result<()> {
    let setting = "message.timestamp.type";
    is_refused(setting, "CreateTime", "LogAppendTime", "LogAppendTime").await
}

#[tokio::test(flavor = "multi_thread")]
async fn short_retention_is_refused() -> Result<()> {
    let least = "at least 604800000, or -1";
    is_refused("retention.ms", "3600000", least, "604800000").await
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_by_size_is_refused() -> Result<()> {
    is_refused("retention.bytes", "1073741824", "-1", "-1").await
}

#[tokio::test(flavor = "multi_thread")]
async fn compaction_is_refused() -> Result<()> {
    is_refused("cleanup.policy", "compact", "delete", "delete").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_below_what_is_sent_is_refused() -> Result<()> {
    is_refused("max.message.bytes", "65536", "at least 1000512", "1048588").await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_count_of_partitions_is_refused() -> Result<()> {
    for (count, advice) in [(7, "--alter --topic"), (9, "set chat.partitions to 9")] {
        let topics = Topics::new();
        make(&topics.messages(), count, &GOOD).await?;
        let faults = faults(&topics).await?;
        ensure!(faults.len() == 1, "{faults:?}");
        let told = faults[0].to_string();
        for part in [
            &topics.messages(),
            &count.to_string(),
            "has to be 8",
            "kafka-topics.sh",
            advice,
        ] {
            ensure!(told.contains(part), "{part} in {told}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_wrong_is_told_at_once() -> Result<()> {
    let topics = Topics::new();
    let wrong = [("cleanup.policy", "compact"), ("retention.ms", "1000")];
    make(&topics.messages(), 3, &wrong).await?;
    make(&topics.dead_letters(), 1, &wrong).await?;
    let faults = faults(&topics).await?;
    let of = |topic: String| {
        let of_it = faults.iter().filter(move |f| f.topic == topic);
        of_it.map(|f| f.setting)
    };
    let messages: Vec<_> = of(topics.messages()).collect();
    assert_eq!(
        messages,
        [
            "the number of partitions",
            "cleanup.policy",
            "retention.ms",
            "message.timestamp.type"
        ]
    );
    let dead_letters: Vec<_> = of(topics.dead_letters()).take(2).collect();
    assert_eq!(dead_letters, ["cleanup.policy", "retention.ms"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_topics_are_made_by_whoever_comes_first() -> Result<()> {
    let topics = Topics::new();
    let (one, other) = tokio::join!(connect(topics.settings()), connect(topics.settings()));
    let (one, other) = (one?, other?);
    assert_eq!(one.end_offsets().await?.all()?, [0; 8]);
    assert_eq!(other.end_offsets().await?.all()?, [0; 8]);
    let names = [topics.messages(), topics.dead_letters()];
    let asked = names.iter().map(|name| ResourceSpecifier::Topic(name));
    let asked: Vec<_> = asked.collect();
    let shown = admin()?.describe_configs(&asked, &options()).await?;
    let kept: Vec<_> = shown
        .iter()
        .flatten()
        .map(|topic| topic.get("retention.ms").and_then(|e| e.value.clone()))
        .collect();
    assert_eq!(kept, [Some("604800000".into()), Some("2592000000".into())]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_is_told_as_the_topic_has_it() -> Result<()> {
    for (kept, told) in [("604800001", Some(604_800_001)), ("-1", None)] {
        let topics = Topics::new();
        make(&topics.messages(), 8, &with("retention.ms", kept)).await?;
        let broker = connect(topics.settings()).await?;
        assert_eq!(broker.retention(), told.map(Duration::from_millis));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_change_while_the_server_runs_are_noticed() -> Result<()> {
    let backend = fresh().await?;
    let (broker, topic) = (&backend.broker, backend.topics.messages());
    let alter = AlterConfig::new(ResourceSpecifier::Topic(&topic));
    let alter = alter
        .set("message.timestamp.type", "LogAppendTime")
        .set("retention.ms", "3600000")
        .set("unclean.leader.election.enable", "true");
    for altered in admin()?.alter_configs([&alter], &options()).await? {
        altered.map_err(|(_, code)| anyhow::anyhow!("{code}"))?;
    }
    eventually("the retention is known", async || {
        Ok(broker.retention() == Some(Duration::from_secs(3_600)))
    })
    .await?;
    let told = broker.warnings();
    for part in [
        "retention.ms is 3600000 and has to be at least 604800000",
        "unclean.leader.election.enable=true",
    ] {
        ensure!(told.iter().any(|told| told.contains(part)), "{told:?}");
    }
    Ok(())
}

/// The stack has one broker.
#[tokio::test(flavor = "multi_thread")]
async fn a_single_copy_is_warned_of() -> Result<()> {
    let backend = fresh().await?;
    let warnings = backend.broker.warnings();
    let topic = backend.topics.messages();
    ensure!(warnings.len() == 2, "{warnings:?}");
    ensure!(warnings[0].starts_with(&format!("topic {topic} has 1 replica")));
    ensure!(warnings[1].starts_with(&format!("topic {topic} has min.insync.replicas=1")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn more_partitions_while_the_server_runs_stop_sends() -> Result<()> {
    let backend = fresh().await?;
    let (broker, topic) = (&backend.broker, backend.topics.messages());
    let more = NewPartitions::new(&topic, 9);
    admin()?.create_partitions([&more], &options()).await?;
    eventually("the broker has a fault", async || {
        Ok(broker.fault().is_some())
    })
    .await?;
    let told = broker.fault().context("a fault")?;
    ensure!(told.contains("is 9 and has to be 8"), "{told}");
    let refused = broker.publish(OutgoingRecord {
        partition: Partition(0),
        key: "ops".into(),
        value: "x".into(),
        ticket: 0,
    });
    ensure!(
        matches!(refused, Err(PortError::Broken { .. })),
        "{refused:?}"
    );
    let ends = broker.end_offsets().await;
    ensure!(matches!(ends, Err(PortError::Broken { .. })), "{ends:?}");
    Ok(())
}
