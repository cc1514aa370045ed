//! Tables of a test run's own in the real HBase.
//!
//! One set for a test process: they are made with the first who asks and dropped with the last who
//! holds them, by Thrift (the HBase shell takes ten seconds for what takes Thrift one). Their names
//! begin with something random, within a namespace that is made once.

use std::net::TcpStream;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use hbase_thrift::hbase::{
    ColumnDescriptor, HbaseSyncClient, IOError, IllegalArgument, THbaseSyncClient,
};
use lakechat_cluster::hbase::{HBaseSettings, schema};
use thrift::protocol::{TBinaryInputProtocol, TBinaryOutputProtocol};
use thrift::transport::{TBufferedReadTransport, TBufferedWriteTransport};
use tokio::sync::Mutex;

use crate::{contract, stack};

const NAMESPACE: &str = "lakechat_test";

/// How long HBase may take to make or to drop a table.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A plain client, as any program would use it.
pub type HBaseClient = HbaseSyncClient<
    TBinaryInputProtocol<TBufferedReadTransport<TcpStream>>,
    TBinaryOutputProtocol<TBufferedWriteTransport<TcpStream>>,
>;

pub fn client() -> Result<HBaseClient> {
    let server = stack::thrift();
    stack::needs(&[&server])?;
    let stream = TcpStream::connect(&server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let reading = TBufferedReadTransport::new(stream.try_clone()?);
    let writing = TBufferedWriteTransport::new(stream);
    Ok(HBaseClient::new(
        TBinaryInputProtocol::new(reading, true),
        TBinaryOutputProtocol::new(writing, true),
    ))
}

/// How tables in the HBase under test are reached.
pub fn settings(namespace: &str, table_prefix: &str) -> HBaseSettings {
    HBaseSettings::at(&[&stack::thrift()], namespace, table_prefix)
}

/// How tables with the default names are reached by way of another address.
pub fn settings_by_way_of(address: &str) -> HBaseSettings {
    HBaseSettings::at(&[address], "lakechat", "")
}

/// A set of tables. Whoever uses them holds it.
pub struct Tables {
    pub settings: HBaseSettings,
}

impl Tables {
    /// The set of this process.
    pub async fn shared() -> Result<Arc<Tables>> {
        static SHARED: Mutex<Weak<Tables>> = Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        if let Some(tables) = shared.upgrade() {
            return Ok(tables);
        }
        let tables = Arc::new(Tables::fresh().await?);
        *shared = Arc::downgrade(&tables);
        Ok(tables)
    }

    /// What their full names begin with: namespace, colon, prefix.
    pub fn name_prefix(&self) -> String {
        let settings = &self.settings;
        format!("{}:{}", settings.namespace, settings.table_prefix)
    }

    /// A set that nobody has used.
    pub async fn fresh() -> Result<Tables> {
        tokio::task::spawn_blocking(Tables::make).await?
    }

    fn make() -> Result<Tables> {
        let prefix = format!("t{}_", contract::random());
        let tables = Tables {
            settings: settings(NAMESPACE, &prefix),
        };
        let mut all = schema::tables(&tables.settings).into_iter();
        let (first, families) = all.next().context("there are tables")?;
        if let Err(error) = create(&first, families) {
            let said = said(&error);
            if !said.contains("NamespaceNotFound") {
                return Err(error.context(said));
            }
            let made = stack::hbase_shell(&format!("create_namespace '{NAMESPACE}'\n"));
            // Another test may have been first.
            made.or_else(|error| match error.to_string().contains("NamespaceExist") {
                true => Ok(String::new()),
                false => Err(error),
            })?;
            create(&first, families)?;
        }
        side_by_side(all.collect(), |(name, families)| create(&name, families))?;
        Ok(tables)
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        let dropped = side_by_side(schema::tables(&self.settings), |(name, _)| {
            drop_table(&name)
        });
        if let Err(error) = dropped {
            eprintln!("tables of the test stay behind: {}", said(&error));
        }
    }
}

pub fn create(name: &str, families: &[&str]) -> Result<()> {
    let family = |name: &&str| ColumnDescriptor {
        name: Some(format!("{name}:").into_bytes()),
        max_versions: Some(1),
        compression: Some("NONE".to_owned()),
        bloom_filter_type: Some("ROW".to_owned()),
        block_cache_enabled: Some(true),
        time_to_live: Some(i32::MAX),
        ..ColumnDescriptor::default()
    };
    let families = families.iter().map(family).collect();
    Ok(client()?.create_table(name.as_bytes().to_vec(), families)?)
}

pub fn drop_table(name: &str) -> Result<()> {
    let mut client = client()?;
    client.disable_table(name.as_bytes().to_vec())?;
    Ok(client.delete_table(name.as_bytes().to_vec())?)
}

fn side_by_side<T: Send>(all: Vec<T>, one: impl Fn(T) -> Result<()> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> = all
            .into_iter()
            .map(|it| scope.spawn(move || one(it)))
            .collect();
        let done = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        done.fold(Ok(()), Result::and)
    })
}

/// What HBase said; its error's own text is only that there was one.
fn said(error: &anyhow::Error) -> String {
    let said = match error.downcast_ref() {
        Some(thrift::Error::User(error)) => {
            let refused = error.downcast_ref::<IllegalArgument>();
            let failed = error.downcast_ref::<IOError>();
            let message = refused.map(|error| &error.message);
            message.or(failed.map(|error| &error.message))
        }
        _ => None,
    };
    said.cloned()
        .flatten()
        .unwrap_or_else(|| format!("{error:#}"))
}
