//! What the file store costs beside a bare loop over `hdfs-native`: both in turns, on one HDFS.
//!
//!     cargo bench --bench hdfs -- [hdfs://host:port] [MiB] [rounds]
//!
//! Prints the rates, the ratio of the medians and how far the memory of the process rose.

use std::env;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use hdfs_native::{Client, ClientBuilder, WriteOptions};
use lakechat_cluster::hdfs::{HdfsSettings, HdfsStore};
use lakechat_core::domain::FileId;
use lakechat_core::ports::FileStore;
use lakechat_core::ports::file_store::ByteStream;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MIB: u64 = 1 << 20;
const CHUNK: u64 = 64 << 10;

/// Downloads that stand still after their first chunk.
const STANDING: usize = 32;

struct Bench {
    client: Client,
    store: HdfsStore,
    root: String,
    size: u64,
}

/// Seconds of each round, and the most that memory rose in one, in bytes.
#[derive(Default)]
struct Figures {
    seconds: Vec<f64>,
    rise: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut given = env::args().skip(1).filter(|argument| argument != "--bench");
    let url = given
        .next()
        .unwrap_or_else(|| "hdfs://127.0.0.1:9000".to_owned());
    let mebibytes: u64 = given.next().map_or(Ok(512), |text| text.parse())?;
    let rounds: usize = given.next().map_or(Ok(5), |text| text.parse())?;
    let user = env::var("USER").unwrap_or_else(|_| "root".to_owned());
    let root = format!("/lakechat-bench-{}", std::process::id());
    let settings = HdfsSettings {
        user: user.clone(),
        ..HdfsSettings::at(&url, &root, "bench")
    };
    let bench = Bench {
        client: ClientBuilder::new()
            .with_url(&url)
            .with_user(user)
            .build()?,
        store: HdfsStore::open(settings)?,
        size: mebibytes * MIB,
        root,
    };
    let ran = bench.run(rounds).await;
    bench.store.close().await?;
    bench.client.delete(&bench.root, true).await?;
    ran
}

impl Bench {
    async fn run(&self, rounds: usize) -> Result<()> {
        let [mut bare_write, mut our_write, mut bare_read, mut our_read] =
            [(); 4].map(|()| Figures::default());
        let bare = format!("{}/bare", self.root);
        for round in 0..=rounds {
            let wrote_bare = measured(self.write_bare(&bare)).await?;
            let wrote = measured(self.write()).await?;
            let read_bare = measured(self.read_bare(&bare)).await?;
            let path = &wrote.0;
            let read = measured(self.read(path)).await?;
            self.client.delete(&bare, false).await?;
            self.store.remove(path).await?;
            // The first is to warm up.
            if round > 0 {
                bare_write.add(&wrote_bare);
                our_write.add(&wrote);
                bare_read.add(&read_bare);
                our_read.add(&read);
            }
        }
        self.print("write", &bare_write, &our_write);
        self.print("read", &bare_read, &our_read);
        self.stand_still().await
    }

    async fn write_bare(&self, path: &str) -> Result<()> {
        let mut file = self.client.create(path, WriteOptions::default()).await?;
        for chunk in self.chunks() {
            file.write_bytes(chunk).await?;
        }
        Ok(file.close().await?)
    }

    async fn write(&self) -> Result<String> {
        let mut file = self.store.create(FileId::random().into()).await?;
        for chunk in self.chunks() {
            file.write(chunk).await?;
        }
        Ok(file.commit().await?)
    }

    async fn read_bare(&self, path: &str) -> Result<()> {
        let file = self.client.read(path).await?;
        self.drain(file.read_range_stream(0, self.size as usize))
            .await
    }

    async fn read(&self, path: &str) -> Result<()> {
        let stream = self.store.read(path, 0, self.size).await?;
        self.drain(stream).await
    }

    async fn drain<E>(&self, stream: impl Stream<Item = Result<Bytes, E>>) -> Result<()>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let mut stream = std::pin::pin!(stream);
        let mut bytes = 0;
        while let Some(chunk) = stream.next().await {
            bytes += chunk?.len() as u64;
        }
        ensure!(bytes == self.size, "{bytes} bytes came");
        Ok(())
    }

    /// Chunks as they come from sockets: each in memory of its own.
    fn chunks(&self) -> impl Iterator<Item = Bytes> + use<> {
        (0..self.size / CHUNK).map(|n| vec![n as u8; CHUNK as usize].into())
    }

    fn print(&self, what: &str, bare: &Figures, ours: &Figures) {
        let rate = |figures: &Figures| (self.size / MIB) as f64 / figures.median();
        let (bare_rate, our_rate) = (rate(bare), rate(ours));
        println!(
            "{what:5}  bare {bare_rate:6.0} MiB/s ({} MiB)  store {our_rate:6.0} MiB/s ({} MiB)  ratio {:.2}",
            bare.rise / MIB,
            ours.rise / MIB,
            our_rate / bare_rate,
        );
    }

    /// What readers that don't read hold.
    async fn stand_still(&self) -> Result<()> {
        let path = self.write().await?;
        reset_peak()?;
        let before = status("VmRSS:")?;
        let mut standing: Vec<ByteStream> = Vec::new();
        for _ in 0..STANDING {
            let mut stream = self.store.read(&path, 0, self.size).await?;
            stream.next().await.context("a first chunk")??;
            standing.push(stream);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let each = status("VmHWM:")?.saturating_sub(before) / STANDING as u64;
        println!(
            "{STANDING} downloads that stand still hold {} KiB each",
            each >> 10
        );
        Ok(())
    }
}

impl Figures {
    fn add<T>(&mut self, (_, seconds, rise): &(T, f64, u64)) {
        self.seconds.push(*seconds);
        self.rise = self.rise.max(*rise);
    }

    fn median(&self) -> f64 {
        let mut seconds = self.seconds.clone();
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    }
}

/// What came of it, how long it took, and how far memory rose.
async fn measured<T>(work: impl Future<Output = Result<T>>) -> Result<(T, f64, u64)> {
    reset_peak()?;
    let before = status("VmRSS:")?;
    let begun = Instant::now();
    let done = work.await?;
    let seconds = begun.elapsed().as_secs_f64();
    Ok((done, seconds, status("VmHWM:")?.saturating_sub(before)))
}

fn reset_peak() -> Result<()> {
    fs::write("/proc/self/clear_refs", "5").context("the peak of memory can't be reset")
}

/// A number of this process, in bytes.
fn status(name: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kibibytes.context("no such number")?.trim().parse::<u64>()? << 10)
}
