//! The connections of a server to the services, each of which a test can cut.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::preload::Library;
use crate::within;

/// A library that leads whoever preloads it to a proxy for each of some ports of this machine.
pub struct Links {
    library: Library,
    links: BTreeMap<u16, Link>,
}

/// One proxy. What is held on it does not pass, as if packets were lost: connections stay open and are silent,
/// and go on when it is mended.
struct Link {
    port: u16,
    requests: watch::Sender<bool>,
    answers: watch::Sender<bool>,
    caught: Arc<Notify>,
    accepting: JoinHandle<()>,
}

/// A direction of a link.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    Requests,
    Answers,
}

impl Links {
    pub async fn to(ports: &[u16]) -> Result<Links> {
        let mut links = BTreeMap::new();
        for port in ports {
            links.insert(*port, Link::to(*port).await?);
        }
        Ok(Links {
            library: Library::compile(include_str!("links.c"))?,
            links,
        })
    }

    /// What the process needs in its environment.
    pub fn env(&self) -> [(String, String); 2] {
        let pairs = self.links.iter();
        let pairs: Vec<_> = pairs.map(|(to, by)| format!("{to}={}", by.port)).collect();
        let library = self.library.path().display().to_string();
        [
            ("LD_PRELOAD".to_owned(), library),
            ("TEST_LINKS".to_owned(), pairs.join(",")),
        ]
    }

    /// Nothing passes in either direction.
    pub fn cut(&self, port: u16) {
        self.set(port, Way::Requests, false);
        self.set(port, Way::Answers, false);
    }

    pub fn mend(&self, port: u16) {
        self.set(port, Way::Requests, true);
        self.set(port, Way::Answers, true);
    }

    /// Nothing passes in one direction from now on. Returns when something would have.
    pub async fn catch(&self, port: u16, way: Way) {
        let caught = self.links[&port].caught.notified();
        self.set(port, way, false);
        within(caught).await;
    }

    fn set(&self, port: u16, way: Way, is_open: bool) {
        let link = &self.links[&port];
        let way = match way {
            Way::Requests => &link.requests,
            Way::Answers => &link.answers,
        };
        way.send_replace(is_open);
    }
}

impl Link {
    async fn to(service: u16) -> io::Result<Link> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let service = SocketAddr::from((Ipv4Addr::LOCALHOST, service));
        let (requests, out) = watch::channel(true);
        let (answers, back) = watch::channel(true);
        let caught = Arc::<Notify>::default();
        let (out, back) = (Gate(out, caught.clone()), Gate(back, caught.clone()));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // Ends when either side closes, or the link is dropped.
                tokio::spawn(pass(client, service, out.clone(), back.clone()));
            }
        });
        Ok(Link {
            port,
            requests,
            answers,
            caught,
            accepting,
        })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Whether anything passes, and who is told if it may not.
#[derive(Clone)]
struct Gate(watch::Receiver<bool>, Arc<Notify>);

impl Gate {
    async fn pass(&mut self) -> Result<()> {
        if !*self.0.borrow() {
            self.1.notify_waiters();
        }
        self.0.wait_for(|is_open| *is_open).await?;
        Ok(())
    }
}

async fn pass(client: TcpStream, service: SocketAddr, out: Gate, back: Gate) {
    // A service that is away refuses, and so does the link: by closing.
    let Ok(service) = TcpStream::connect(service).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_service, to_service) = service.into_split();
    // One direction that has ended ends both. Errors are ends, too.
    tokio::select! {
        _ = copy(from_client, to_service, out) => {}
        _ = copy(from_service, to_client, back) => {}
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut gate: Gate,
) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let bytes = from.read(&mut buffer).await?;
        gate.pass().await?;
        if bytes == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..bytes]).await?;
    }
}
