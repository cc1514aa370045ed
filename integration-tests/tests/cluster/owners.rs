//! Several installations on the same services: none touches what belongs to another, until an operator
//! says so.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hbase_thrift::hbase::THbaseSyncClient;
use hdfs_native::WriteOptions;
use integration_tests::cluster::Cluster;
use integration_tests::on_hdfs::{self, age, text_in};
use integration_tests::on_kafka::{admin, options};
use integration_tests::server::command;
use integration_tests::{Person, Server, eventually, hbase, within};
use tokio::process::Command;

const HDFS_ROOT: &str = "LAKECHAT_HDFS__ROOT";
const TOPIC_PREFIX: &str = "LAKECHAT_KAFKA__TOPIC_PREFIX";
const REDIS_PREFIX: &str = "LAKECHAT_REDIS__PREFIX";

const HOUR: Duration = Duration::from_secs(3600);

/// Large enough for a file in HDFS.
const BYTES: usize = 1 << 20;

type Env<'a> = &'a [(&'a str, &'a str)];

/// Runs a command that ends by itself; its exit code and what it says.
async fn run(cluster: &Cluster, env: Env<'_>, args: &[&str]) -> Result<(Option<i32>, String)> {
    let mut command = command(args);
    command.envs(cluster.env()).envs(env.iter().copied());
    let output = within(command.output()).await?;
    let said = String::from_utf8([output.stdout, output.stderr].concat())?;
    Ok((output.status.code(), said))
}

/// What a server says that ends at its start, from `lakechat: ` on.
async fn refusal(cluster: &Cluster, env: Env<'_>) -> Result<String> {
    let data = tempfile::tempdir()?;
    let data = data.path().to_str().context("a plain name")?;
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data-dir", data];
    let (code, said) = run(cluster, env, &serve).await?;
    assert_eq!(code, Some(1), "{said}");
    let last = said.find("lakechat: ").with_context(|| said.clone())?;
    Ok(said[last..].to_owned())
}

async fn adopt(cluster: &Cluster, env: Env<'_>, more: &[&str]) -> Result<(Option<i32>, String)> {
    run(cluster, env, &[&["log", "adopt"], more].concat()).await
}

async fn upload(server: &Server, person: &Person) -> String {
    let sent = server
        .http()
        .upload(person.token(), "large", vec![7; BYTES]);
    let file = sent.await.expect(201).json()["id"].clone();
    file.as_str().expect("an id").to_owned()
}

async fn is_whole(server: &Server, person: &Person, file: &str) {
    let path = format!("/download/{file}");
    let found = server.http().get(&path, person.token()).await;
    assert_eq!(found.expect(200).body.len(), BYTES);
}

/// The path in HDFS of a file of this cluster.
fn path_of(cluster: &Cluster, file: &str) -> String {
    format!("{}/files/{}/{file}", cluster.root.0, &file[..2])
}

fn owner_file(cluster: &Cluster) -> String {
    format!("{}/installation", cluster.root.0)
}

/// What `redis-cli` answers.
async fn redis(args: &[&str]) -> Result<String> {
    let output = Command::new("redis-cli").args(args).output().await?;
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// Removes a column of a row (or all of it) from a table of this cluster.
fn remove(cluster: &Cluster, table: &str, row: &str, column: Option<&str>) -> Result<()> {
    let (table, none) = (
        format!("{}{table}", cluster.tables.name_prefix()),
        Default::default(),
    );
    let mut client = hbase::client()?;
    match column {
        Some(column) => client.delete_all(table.into(), row.into(), column.into(), none)?,
        None => client.delete_all_row(table.into(), row.into(), none)?,
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_of_other_tables_is_refused_by_each_place_and_leaves_it_alone() -> Result<()> {
    let prod = Cluster::fresh().await?;
    let server = Server::of(&prod, &[]).await;
    let ann = Person::register(&server, "ann").await;
    let file = upload(&server, &ann).await;
    let owner = text_in(&owner_file(&prod)).await?;
    let (id, table) = owner.trim_end().split_once(' ').context("two words")?;
    assert_eq!(table, format!("{}meta", prod.tables.name_prefix()));
    age(&path_of(&prod, &file), 2 * HOUR).await?;
    age(&owner_file(&prod), 3 * HOUR).await?;

    // Each time with one place that is not its own.
    let topic = prod.topics.settings().topic_prefix;
    let places = [
        (HDFS_ROOT, &prod.root.0, "the folder", "(hdfs.root)"),
        (TOPIC_PREFIX, &topic, "the topic", "(kafka.topic_prefix)"),
        (
            REDIS_PREFIX,
            &prod.redis_prefix,
            "the prefix",
            "(redis.prefix)",
        ),
    ];
    let staging = Cluster::fresh().await?;
    for (key, value, place, setting) in places {
        let said = refusal(&staging, &[(key, value)]).await?;
        let lines: Vec<_> = said.trim_end().lines().collect();
        let [foreign, advice] = lines[..] else {
            anyhow::bail!("{said}");
        };
        for words in [place, value, setting, id, table] {
            ensure!(foreign.contains(words), "{words} in {said}");
        }
        ensure!(advice.contains("hbase.table_prefix"), "{said}");
        ensure!(advice.contains("lakechat log adopt"), "{said}");
    }
    // With all of them: a line each.
    let all = places.map(|(key, value, ..)| (key, value.as_str()));
    let said = refusal(&staging, &all).await?;
    let foreign = format!("belongs to installation {id}");
    assert_eq!(said.matches(&foreign).count(), 3, "{said}");
    // The attempts left nothing that keeps it from places of its own.
    let other = Server::of(&staging, &[]).await;
    Person::register(&other, "bob").await;

    is_whole(&server, &ann, &file).await;
    assert_eq!(text_in(&owner_file(&prod)).await?, owner);
    assert_eq!(redis(&["get", &prod.owner_key()]).await?, owner.trim_end());
    let mut ws = ann.joined(&server, "general").await;
    ws.say("general", "c-1", "still here").await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adopting_gives_the_places_to_other_tables_and_refuses_the_former_ones() -> Result<()> {
    let old = Cluster::fresh().await?;
    let mut server = Server::of(&old, &[]).await;
    let ann = Person::register(&server, "ann").await;
    let file = upload(&server, &ann).await;
    assert!(server.stop().await.success());
    age(&path_of(&old, &file), 2 * HOUR).await?;

    let new = Cluster::fresh().await?;
    let places: Env<'_> = &[(HDFS_ROOT, &old.root.0), (REDIS_PREFIX, &old.redis_prefix)];
    let owner = text_in(&owner_file(&old)).await?;
    let (id, _) = owner.split_once(' ').context("two words")?;
    let (code, said) = adopt(&new, places, &[]).await?;
    assert_eq!(code, Some(1), "{said}");
    let foreign = format!("belongs to installation {id}");
    assert_eq!(said.matches(&foreign).count(), 2, "{said}");
    ensure!(said.contains("belongs to nobody"), "the topic: {said}");
    ensure!(said.contains("nothing was changed"), "{said}");
    assert_eq!(text_in(&owner_file(&old)).await?, owner);

    let (code, said) = adopt(&new, places, &["--yes"]).await?;
    assert_eq!(code, Some(0), "{said}");
    let owner = text_in(&owner_file(&old)).await?;
    ensure!(owner.contains(&new.tables.name_prefix()), "{owner}");
    let server = Server::of(&new, places).await;
    let bob = Person::register(&server, "bob").await;
    is_whole(&server, &bob, &upload(&server, &bob).await).await;
    let said = refusal(&old, &[]).await?;
    ensure!(
        said.contains(owner.split(' ').next().context("an id")?),
        "{said}"
    );
    ensure!(
        said.contains("(hdfs.root)") && said.contains("(redis.prefix)"),
        "{said}"
    );
    let (code, said) = adopt(&new, places, &["--yes"]).await?;
    assert_eq!(code, Some(1), "{said}");
    ensure!(said.contains("there is nothing to adopt"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn table_of_files_that_was_restored_stops_sweeps_until_it_is_adopted() -> Result<()> {
    let cluster = Cluster::fresh().await?;
    let mut server = Server::of(&cluster, &[]).await;
    let ann = Person::register(&server, "ann").await;
    let file = upload(&server, &ann).await;
    let swept = format!("{}/swept", cluster.root.0);
    let client = on_hdfs::client()?;
    eventually("a sweep has begun", async || {
        let stamps = client.list_status(&swept, false).await.ok()?;
        (!stamps.is_empty()).then_some(())
    })
    .await;
    assert!(server.stop().await.success());

    // As a snapshot from before the upload would leave it.
    remove(&cluster, "files", &file, None)?;
    remove(&cluster, "files", "swept", None)?;
    let path = path_of(&cluster, &file);
    age(&path, 2 * HOUR).await?;
    age(&owner_file(&cluster), 3 * HOUR).await?;
    server.restart().await;
    eventually("the sweep is refused", async || {
        let log = server.log();
        let refused = |line: &String| line.contains("table files is older than the latest sweep");
        log.iter().any(refused).then_some(())
    })
    .await;
    client.get_file_info(&path).await.context("it is kept")?;
    assert!(server.stop().await.success());

    let (code, said) = adopt(&cluster, &[], &[]).await?;
    assert_eq!(code, Some(1), "{said}");
    ensure!(said.contains("table files is older than"), "{said}");
    let (code, said) = adopt(&cluster, &[], &["--yes"]).await?;
    assert_eq!(code, Some(0), "{said}");

    // The last one that a sweep lists, written after the adoption.
    let orphan = path_of(&cluster, "ffffffff-ffff-4fff-bfff-ffffffffffff");
    client
        .create(&orphan, WriteOptions::default())
        .await?
        .close()
        .await?;
    for (path, hours) in [(&path, 5), (&owner_file(&cluster), 4), (&orphan, 2)] {
        age(path, hours * HOUR).await?;
    }
    server.restart().await;
    eventually("sweeps go on", async || {
        client.get_file_info(&orphan).await.is_err().then_some(())
    })
    .await;
    client.get_file_info(&path).await.context("it is kept")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn installation_without_an_id_gets_one_and_lost_tables_need_an_adoption() -> Result<()> {
    let cluster = Cluster::fresh().await?;
    let mut server = Server::of(&cluster, &[]).await;
    assert!(server.stop().await.success());
    // As an earlier release left everything.
    remove(&cluster, "meta", "log", Some("d:installation"))?;
    let client = on_hdfs::client()?;
    ensure!(client.delete(&owner_file(&cluster), false).await?);
    redis(&["del", &cluster.owner_key()]).await?;
    let topic = cluster.topics.installation();
    admin()?.delete_topics(&[&topic], &options()).await?;
    server.restart().await;
    let owner = text_in(&owner_file(&cluster)).await?;
    assert_eq!(
        redis(&["get", &cluster.owner_key()]).await?,
        owner.trim_end()
    );
    assert!(server.stop().await.success());

    remove(&cluster, "meta", "log", None)?;
    let said = refusal(&cluster, &[]).await?;
    ensure!(
        said.contains(owner.trim_end().split(' ').next().context("an id")?),
        "{said}"
    );
    ensure!(said.contains("this server's tables have no id"), "{said}");
    let (code, said) = adopt(&cluster, &[], &["--yes"]).await?;
    assert_eq!(code, Some(0), "{said}");
    server.restart().await;
    Ok(())
}
