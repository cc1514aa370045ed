//! `lakechat schema`: what it prints makes the tables, and what it checks is so.

use std::process::Output;

use anyhow::{Context, Result};
use hbase_thrift::hbase::{ColumnDescriptor, THbaseSyncClient};
use integration_tests::hbase::{Tables, client, drop_table, settings};
use integration_tests::{contract, server, stack, within};
use lakechat_cluster::hbase::{HBase, SchemaError, schema};

/// Runs `lakechat schema …` for the tables of a namespace.
async fn run(args: &[&str], namespace: &str) -> Result<Output> {
    let mut command = server::command(&[&["schema"], args].concat());
    command.envs([
        ("LAKECHAT_HBASE__THRIFT", stack::thrift().as_str()),
        ("LAKECHAT_HBASE__NAMESPACE", namespace),
    ]);
    Ok(within(command.output()).await?)
}

fn said(output: &Output) -> String {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(both).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_print_prints_makes_the_tables_and_may_run_again() -> Result<()> {
    let namespace = format!("lakechat_t{}", contract::random());
    let printed = run(&["print", "--regions", "2"], &namespace).await?;
    assert!(printed.status.success(), "{}", said(&printed));
    let statements = String::from_utf8(printed.stdout)?;

    let missing = run(&["check"], &namespace).await?;
    assert_eq!(missing.status.code(), Some(1), "{}", said(&missing));
    let text = format!("table {namespace}:messages is missing");
    assert!(said(&missing).contains(&text), "{}", said(&missing));

    let twice = format!("{statements}{statements}");
    let shell = tokio::task::spawn_blocking(move || stack::hbase_shell(&twice)).await?;
    let good = run(&["check", "--regions", "2"], &namespace).await;
    let few = run(&["check"], &namespace).await;
    for (name, _) in schema::tables(&settings(&namespace, "")) {
        drop_table(&name).with_context(|| name.clone())?;
    }
    let clean = format!("drop_namespace '{namespace}'\n");
    tokio::task::spawn_blocking(move || stack::hbase_shell(&clean)).await??;

    let (shell, good, few) = (shell?, good?, few?);
    assert!(good.status.success(), "{}\n{shell}", said(&good));
    assert_eq!(few.status.code(), Some(1));
    let text = format!("table {namespace}:messages has 2 regions, not 16");
    assert!(said(&few).contains(&text), "{}", said(&few));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_ttl_are_told_with_the_statement_that_helps() -> Result<()> {
    let _namespace = Tables::shared().await?;
    let prefix = format!("v{}_", contract::random());
    let meta = format!("lakechat_test:{prefix}meta");
    let family = ColumnDescriptor {
        name: Some(b"d:".to_vec()),
        max_versions: Some(3),
        compression: Some("NONE".to_owned()),
        bloom_filter_type: Some("ROW".to_owned()),
        time_to_live: Some(86_400),
        ..ColumnDescriptor::default()
    };
    client()?.create_table(meta.clone().into_bytes(), vec![family])?;
    let hbase = HBase::start(&settings("lakechat_test", &prefix))?;
    let differs = hbase.check_schema(None).await;
    drop_table(&meta)?;
    let Err(SchemaError::Differs(differences)) = differs else {
        panic!("{differs:?}");
    };
    for text in [
        format!(
            "table {meta}, family d keeps 3 versions: alter '{meta}', {{NAME => 'd', VERSIONS => 1}}"
        ),
        format!("table {meta}, family d has a TTL of 86400 s"),
    ] {
        let told = differences.iter().any(|line| line.contains(&text));
        assert!(told, "{text} in {differences:?}");
    }
    Ok(())
}

#[tokio::test]
async fn wrong_host_is_told_with_what_to_look_at() -> Result<()> {
    let mut command = server::command(&["schema", "check"]);
    command.env("LAKECHAT_HBASE__THRIFT", "127.0.0.1:1");
    let output = within(command.output()).await?;
    assert_eq!(output.status.code(), Some(1));
    let text = said(&output);
    assert!(text.contains("hbase.thrift = 127.0.0.1:1"), "{text}");
    assert!(text.contains("Connection refused"), "{text}");
    Ok(())
}
