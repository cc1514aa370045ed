//! What librdkafka is told: addresses and options.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration_tests::on_kafka::{Topics, connect};
use lakechat_cluster::kafka::{KafkaBroker, KafkaSettings, StartError};

async fn refused(settings: KafkaSettings) -> Result<StartError> {
    let connected = KafkaBroker::connect(settings).await;
    connected.err().context("it connected")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_address_is_away_within_the_deadline() -> Result<()> {
    let settings = KafkaSettings {
        brokers: "127.0.0.1:1".into(),
        ..Topics::new().settings()
    };
    let started = Instant::now();
    let error = refused(settings).await?;
    ensure!(started.elapsed() < Duration::from_secs(12));
    ensure!(error.is_unavailable(), "{error}");
    let told = error.to_string();
    ensure!(told.contains("127.0.0.1:1"), "{told}");
    ensure!(told.contains("Connection refused"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn options_reach_librdkafka() -> Result<()> {
    let topics = Topics::new();
    let mut settings = topics.settings();
    settings.options = [("compression.type".into(), "gzip".into())].into();
    connect(settings.clone()).await?;
    settings.options = [("no.such.option".into(), "hunter2".into())].into();
    let error = refused(settings).await?;
    ensure!(!error.is_unavailable());
    let told = error.to_string();
    ensure!(
        told.contains("no.such.option") && !told.contains("hunter2"),
        "{told}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_in_a_build_without_it_names_the_feature() -> Result<()> {
    for (option, value) in [
        ("security.protocol", "ssl"),
        ("security.protocol", "sasl_ssl"),
        ("ssl.ca.location", "/etc/ssl/certs/ca-certificates.crt"),
        ("sasl.mechanisms", "SCRAM-SHA-256"),
    ] {
        let mut settings = Topics::new().settings();
        settings.options = [(option.into(), value.into())].into();
        if option == "sasl.mechanisms" {
            settings
                .options
                .insert("security.protocol".into(), "sasl_plaintext".into());
            settings
                .options
                .insert("sasl.username".into(), "ann".into());
            settings
                .options
                .insert("sasl.password".into(), "hunter2".into());
        }
        let error = refused(settings).await?;
        ensure!(!error.is_unavailable(), "{option}={value}: {error}");
        let told = error.to_string();
        ensure!(
            told.contains("--features kafka-tls"),
            "{option}={value}: {told}"
        );
        ensure!(!told.contains("hunter2"));
    }
    Ok(())
}
